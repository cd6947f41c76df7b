"""How the command gets along with what started it: Ctrl-C, closed streams, readers that leave."""

import _thread
import contextlib
import os
import signal
import sys
import threading


class _Careless:
    """A standard error whose writes may fail: a message that nobody can read ends no training."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        with self._unless_it_fails():
            self._stream.write(text)
        return len(text)

    def flush(self):
        with self._unless_it_fails():
            self._stream.flush()

    @contextlib.contextmanager
    def _unless_it_fails(self):
        try:
            yield
        except (OSError, ValueError):  # the latter where it was closed
            with contextlib.suppress(OSError, ValueError):
                write_to_nowhere(self._stream)

    def __getattr__(self, name):
        return getattr(self._stream, name)


def write_to_nowhere(stream):
    """Let what is still buffered, and all that comes, go where no write fails."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


@contextlib.contextmanager
def tolerant_streams():
    """Replace standard streams that are closed or lack characters; put the old ones back."""
    with contextlib.ExitStack() as stack:
        # Where a standard stream is closed Python has None: nobody reads what is written to it.
        out, err = (
            s or stack.enter_context(open(os.devnull, "w")) for s in (sys.stdout, sys.stderr)
        )
        with contextlib.suppress(AttributeError):
            # A terminal or locale that lacks a character gets a "?", not an error half-way.
            out.reconfigure(errors="replace")
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(_Careless(err)))
        yield


def say(message):
    """Print a message for a person."""
    print(f"numlstm: {message}", file=sys.stderr)


def leave(*_):
    """End the process at once, as the handler of a signal.

    A KeyboardInterrupt amid imports and compilers gets lost, or comes out as another error.
    """
    with contextlib.suppress(Exception):  # the signal may have come in the middle of a write
        sys.stdout.flush()
    with contextlib.suppress(Exception):
        if sys.stderr.isatty():
            print(file=sys.stderr)  # after the "^C" that the terminal shows
        say("interrupted")
        sys.stderr.flush()
    os._exit(130)


@contextlib.contextmanager
def on_ctrl_c(handler):
    """Let Ctrl-C call a handler of signals; where it is ignored, it stays ignored."""
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(signal.getsignal(signal.SIGINT)):
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


COMPILERS = {"numba", "llvmlite", "importlib", "_frozen_importlib"}


def interrupt(_, frame):
    """Raise KeyboardInterrupt, as the handler of a signal; amid a compiler a moment later."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in COMPILERS:
            again = threading.Timer(0.1, _thread.interrupt_main)
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt
