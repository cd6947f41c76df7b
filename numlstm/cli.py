"""The command `numlstm`."""

import argparse
import contextlib
import csv
import math
import os
import sys
import warnings


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the help is a command away."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def _seed(text):
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**32:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to {2**32 - 1}, got {text!r}")
    return seed


def _numbers(parser, kind, metavar, *rows):
    """Add options that take a number; each row is name, default, explanation."""
    for name, default, what in rows:
        if default is not None:
            what += " (default: %(default)s)"
        parser.add_argument(name, type=kind, metavar=metavar, default=default, help=what)


def _add_train(commands):
    parser = commands.add_parser(
        "train",
        help="train a character model on a text file",
        description="Train a character model on a UTF-8 text file; `numlstm sample` then writes "
        "text with it. Progress goes to the standard error. The end of the text is held out and "
        "scored after each epoch: the best epoch is kept, and training stops when the score has "
        "not risen for long. Ctrl-C stops early and keeps the model.",
        epilog="The very first run compiles the kernels, for up to a minute: see `numlstm warmup`.",
    )
    add = parser.add_argument
    add("text", metavar="TEXT", help="text file to learn")
    add("-o", "--output", required=True, metavar="MODEL", help="file to write (.safetensors)")
    _numbers(
        parser, int, "N",
        ("--hidden-size", 128, "units per layer"),
        ("--n-layers", 1, "LSTM layers"),
        ("--embedding-size", 64, "numbers that stand for a character; 0: one-hot"),
        ("--seq-length", 64, "characters that the gradient reaches back over"),
        ("--batch-size", 64, "parts of the text that are read side by side"),
        ("--max-iter", 10, "epochs at most: passes over the text"),
        ("--n-threads", None, "threads to use (default: all)"),
    )  # fmt: skip
    _numbers(
        parser, float, "X",
        ("--learning-rate-init", 2e-3, "learning rate at the start"),
        ("--dropout", 0.0, "share of the outputs dropped between layers while training"),
        ("--validation-fraction", 0.05, "share of the text to hold out"),
    )  # fmt: skip
    add(
        "--learning-rate", choices=("constant", "cosine", "step"), default="cosine",
        help="how the learning rate goes on from its start (default: %(default)s)",
    )  # fmt: skip
    _numbers(parser, _seed, "SEED", ("--random-state", 0, "same seed, same model"))
    add(
        "--checkpoint", metavar="FILE",
        help="save the state of training here now and then, and go on from it if the file is "
        "there; it is removed at the end",
    )  # fmt: skip
    add("-v", "--verbose", action="store_true", help="also show a sample after each epoch")
    parser.set_defaults(run=train)


def _add_sample(commands):
    what = "write text with a model of `numlstm train`, as it is made"
    parser = commands.add_parser("sample", help=what, description=f"{what.capitalize()}.")
    parser.add_argument("model", metavar="MODEL", help="file of `numlstm train`")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="text to go on from")
    _numbers(parser, int, "N", ("--n-chars", 500, "characters to write"))
    what = "0: always the most probable character; 1: by chance, as learnt; above 1: wilder"
    _numbers(parser, float, "X", ("--temperature", 0.8, what))
    what = "draw from the K most probable characters only"
    _numbers(parser, int, "K", ("--top-k", None, what))
    what = "draw from the fewest characters that together reach probability P"
    _numbers(parser, float, "P", ("--top-p", None, what))
    what = "same seed, same text (default: different every time)"
    _numbers(parser, _seed, "SEED", ("--random-state", None, what))
    parser.set_defaults(run=sample)


def _add_score(commands):
    parser = commands.add_parser(
        "score",
        help="measure how well a model predicts a text",
        description="Print bits per character and perplexity of a UTF-8 text file under a model: "
        "the lower, the better.",
    )
    parser.add_argument("model", metavar="MODEL", help="file of `numlstm train`")
    parser.add_argument("text", metavar="TEXT", help="text file")
    parser.set_defaults(run=score)


def _add_forecast(commands):
    parser = commands.add_parser(
        "forecast",
        help="forecast a column of a CSV file",
        description="Fit an LSTM to a column of a CSV file and forecast what comes next. The file "
        "has a header; its rows are in the order of time, oldest first; empty fields are missing "
        "values. Progress goes to the standard error.",
    )
    add = parser.add_argument
    add("series", metavar="CSV", help="file with a header line")
    add("--column", metavar="NAME", help="name of the column (default: the last one)")
    add("--horizon", type=int, required=True, metavar="N", help="steps to forecast")
    _numbers(
        parser, int, "N",
        ("--window", None, "past values to read (default: a quarter of them, at most 48)"),
        ("--hidden-size", 16, "units"),
        ("--max-iter", 200, "epochs at most: passes over the series"),
        ("--n-threads", 1, "threads to use; more pay for hundreds of units only"),
    )  # fmt: skip
    _numbers(parser, _seed, "SEED", ("--random-state", 0, "same seed, same forecast"))
    add("-o", "--output", metavar="CSV", help="file to write (default: print)")
    add("--plot", metavar="PNG", help="picture to write; .pdf and .svg work too")
    parser.set_defaults(run=forecast)


def build_parser():
    """Return the parser of all commands."""
    parser = _Parser(
        prog="numlstm",
        description="LSTM networks for the CPU, compiled with Numba.",
        epilog="`numlstm COMMAND --help` says more about a command.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for add in (_add_train, _add_sample, _add_score, _add_forecast, _add_others):
        add(commands)
    return parser


def _add_others(commands):
    demo = commands.add_parser(
        "demo",
        help="forecast real series and write text, beside honest baselines",
        description="Fit forecasters on shipped series and a character model on Python's own "
        "documentation, print their figures beside those of baselines, write a picture. Takes "
        "one or two minutes.",
    )
    demo.add_argument(
        "-o", "--output", default="numlstm-demo.png", metavar="PNG",
        help="picture to write (default: %(default)s)",
    )  # fmt: skip
    demo.set_defaults(run=run_demo)
    warm = commands.add_parser(
        "warmup",
        help="compile every kernel into the cache",
        description="Compile every kernel into the cache, so that later runs start at once. Takes "
        "half a minute the first time.",
    )
    warm.add_argument(
        "--dtype", choices=("float32", "float64"), action="append",
        help="may be given twice (default: float32)",
    )  # fmt: skip
    warm.set_defaults(run=warmup)


def _say_if_cold():
    """Tell a person in front of a still progress bar what takes so long."""
    from numlstm.kernels._jit import CACHE_FOLDER

    if sys.stderr.isatty() and CACHE_FOLDER and not any(CACHE_FOLDER.glob("*.nbi")):
        print("numlstm: the first run compiles the kernels, for up to a minute", file=sys.stderr)


def train(arguments):
    """Run `numlstm train`."""
    from numlstm import CharLSTM
    from numlstm.data.texts import read_text
    from numlstm.persistence import check_output

    check_output(arguments.output, arguments.text, arguments.checkpoint)
    if arguments.checkpoint:
        check_output(arguments.checkpoint, arguments.text)
    text = read_text(arguments.text, arguments.seq_length + 2)
    names = (
        "hidden_size", "n_layers", "seq_length", "batch_size", "max_iter", "learning_rate_init",
        "learning_rate", "dropout", "validation_fraction", "random_state", "n_threads",
    )  # fmt: skip
    model = CharLSTM(
        embedding_size=arguments.embedding_size or None, early_stopping=True,
        verbose=2 if arguments.verbose else 1,
        **{name: getattr(arguments, name) for name in names},
    )  # fmt: skip
    _say_if_cold()
    model.fit(text, checkpoint=arguments.checkpoint)
    model.save(arguments.output)
    score = ""
    if model.validation_scores_:
        bits = -model.best_validation_score_ / math.log(2)
        score = f", {bits:.3f} bits per character on the part held out"
    n = len(model.vocabulary_)
    print(f"{arguments.output}: {model.n_iter_} epochs, {n} different characters{score}")


def _load_text_model(path):
    from numlstm import CharLSTM, load

    model = load(path)
    if not isinstance(model, CharLSTM):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a character model")
    return model


def sample(arguments):
    """Run `numlstm sample`."""
    model = _load_text_model(arguments.model)
    if arguments.random_state is None:
        model.set_params(random_state=None)
    characters = model.stream(
        arguments.n_chars, prompt=arguments.prompt, temperature=arguments.temperature,
        top_k=arguments.top_k, top_p=arguments.top_p, random_state=arguments.random_state,
    )  # fmt: skip
    print(arguments.prompt, end="")
    for character in characters:
        print(character, end="", flush=character == "\n")
    print(flush=True)


def score(arguments):
    """Run `numlstm score`."""
    from numlstm.data.texts import read_text

    model = _load_text_model(arguments.model)
    text = read_text(arguments.text)
    bits = model.bits_per_char(text)
    print(f"{len(text)} characters, {bits:.4f} bits per character, perplexity {2**bits:.3f}")


def forecast(arguments):
    """Run `numlstm forecast`."""
    from numlstm import LSTMForecaster, plotting
    from numlstm.data.series import read_column
    from numlstm.persistence import check_output

    path, horizon = arguments.series, arguments.horizon
    if arguments.output:
        check_output(arguments.output, path, arguments.plot)
    if arguments.plot:
        check_output(arguments.plot, path)
        plotting.check_picture(arguments.plot)
    column, y = read_column(path, arguments.column)
    window = max(1, min(48, len(y) // 4)) if arguments.window is None else arguments.window
    missing = sum(map(math.isnan, y[-window:])) if window > 0 else 0
    if missing:
        raise ValueError(
            f"{path}: {missing} of the last {window} values of {column} are missing; to forecast, "
            "all that --window takes in must be there"
        )
    model = LSTMForecaster(
        window, horizon, hidden_size=arguments.hidden_size, learning_rate_init=1e-2,
        max_iter=arguments.max_iter, random_state=arguments.random_state, verbose=1,
        n_threads=arguments.n_threads,
    )  # fmt: skip
    _say_if_cold()
    try:
        values = model.fit(y).predict()
    except ValueError as error:
        if not str(error).startswith("y "):
            raise
        raise ValueError(f"{path}: {column} {str(error)[2:]}") from None
    _write_forecast(arguments.output, column, values)
    if arguments.plot:
        figure, ax = plotting.blank_figure(1, (9, 4))
        plotting.ForecastDisplay(history=y[-5 * horizon :], forecast=values).plot(ax)
        ax.set(xlabel="step", ylabel=column)
        figure.savefig(arguments.plot, dpi=130)
        print(f"{arguments.plot}: picture", file=sys.stderr)


def _write_forecast(path, column, values):
    rows = [("step", column), *((k, f"{v:.10g}") for k, v in enumerate(values, 1))]
    if path is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    else:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        print(f"{path}: {len(values)} steps of {column}", file=sys.stderr)


def run_demo(arguments):
    """Run `numlstm demo`."""
    from numlstm import demo, plotting
    from numlstm.persistence import check_output

    check_output(arguments.output)
    plotting.check_picture(arguments.output)
    demo.run(arguments.output)


@contextlib.contextmanager
def _one_at_a_time(folder):
    """Hold a lock on the cache: two processes that fill it at once can damage Numba's index."""
    try:
        import fcntl
    except ImportError:  # no such lock on Windows
        yield
        return
    with open(folder / "warmup.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def warmup(arguments):
    """Run `numlstm warmup`."""
    import time

    from numlstm.estimators.warmup import compile_everything
    from numlstm.kernels._jit import CACHE_FOLDER

    if CACHE_FOLDER is None:
        raise OSError("there is no writable cache folder: set NUMBA_CACHE_DIR")
    _say_if_cold()
    begin = time.perf_counter()
    with _one_at_a_time(CACHE_FOLDER):
        for dtype in arguments.dtype or ["float32"]:
            compile_everything(dtype)
    print(f"compiled in {time.perf_counter() - begin:.1f} s: {CACHE_FOLDER}")


def _explain(error, arguments):
    """Return the message of an error in one line, in the words of the command line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return where + error.strerror
    message = " ".join(str(error).split("\n")) or type(error).__name__
    name, _, rest = message.partition(" ")
    if name == "text" and name in arguments:
        return f"{arguments.text} {rest}"
    return f"--{name.replace('_', '-')} {rest}" if name in arguments else message


def main(argv=None):
    """Run the command; return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        0, or 2 for arguments or input that make no sense, or 130 after Ctrl-C.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        from numlstm import __version__

        print(f"numlstm {__version__}")
        return 0
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    # Where a standard stream is closed Python has None: nobody reads what is written to it.
    sys.stdout, sys.stderr = (s or open(os.devnull, "w") for s in (sys.stdout, sys.stderr))
    with contextlib.suppress(AttributeError):
        # A terminal or locale that lacks a character gets a "?", not an error half-way.
        sys.stdout.reconfigure(errors="replace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda text, *rest: print(f"numlstm: {text}", file=sys.stderr)
        return _run(arguments)


def _run(arguments):
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("numlstm: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough. What is still buffered must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, TypeError, ImportError, MemoryError, OverflowError) as error:
        print(f"numlstm {arguments.command}: {_explain(error, arguments)}", file=sys.stderr)
        return 2
    return 0
