"""Compiling several kernels in two processes, which share the cache.

Numba compiles under one lock, so that threads cannot share the work; processes can. Each takes
the first task of a list that none has taken.
"""

import pickle
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from numlstm.kernels._jit import CACHE_FOLDER

COMMAND = "from numlstm.kernels._two_processes import serve; serve()"
TASKS = "tasks"  # the name of the file that holds them
PATIENCE = 300  # seconds for the second's last kernel; one takes up to 7 s on a busy server


class Task(NamedTuple):
    """One kernel to compile.

    Attributes
    ----------
    module, name : str
        Of the kernel.
    kinds : tuple of Numba's types
        Of its arguments.
    """

    module: str
    name: str
    kinds: tuple

    def do(self):
        """Compile it, or load it if it is in the cache."""
        getattr(import_module(self.module), self.name).compile(self.kinds)


def compile_in_two_processes(tasks):
    """Compile kernels, some of them in a second process if one can be started.

    Here those are loaded from the cache when they are called, or compiled then if it came to
    nothing.

    Parameters
    ----------
    tasks : list of Task
        Those that take long first.
    """
    # A program that only embeds Python, or holds it, is not one that could be asked to compile.
    is_python = Path(sys.executable or "").name.lower().startswith("python")
    if not is_python or getattr(sys, "frozen", False):
        return
    with suppress(OSError), tempfile.TemporaryDirectory(prefix="numlstm-") as folder:
        Path(folder, TASKS).write_bytes(pickle.dumps((str(CACHE_FOLDER), tasks)))
        with _second_process(folder) as process:
            if _share(tasks, folder) < len(tasks):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)


@contextmanager
def _second_process(folder):
    """Have a second process share tasks, and end it in the end."""
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    # -P: a module of the user's in the current folder must not hide one of a package.
    command = [sys.executable, "-P", "-c", COMMAND, folder]
    with subprocess.Popen(command, **nothing, creationflags=flags) as process:
        try:
            yield process
        finally:
            process.kill()


def _share(tasks, folder):
    """Do the tasks that the other process has not begun; return how many."""
    done = 0
    for number, task in enumerate(tasks):
        try:
            Path(folder, str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        task.do()
        done += 1
    return done


def serve():
    """Share the tasks in a folder: what the second process runs."""
    folder = sys.argv[1]
    cache, tasks = pickle.loads(Path(folder, TASKS).read_bytes())
    if str(CACHE_FOLDER) == cache:  # else it has other sources, or another environment
        _share(tasks, folder)
