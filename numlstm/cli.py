"""The command `numlstm`."""

import argparse
import contextlib
import os
import sys
import warnings

from numlstm import commands
from numlstm.terminal import leave, on_ctrl_c, say, tolerant_streams, write_to_nowhere


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


def _add_train(parsers):
    parser = parsers.add_parser(
        "train",
        help="train a character model on a text file",
        description="Train a character model on a UTF-8 text file; `numlstm sample` then writes "
        "text with it. Progress goes to the standard error. The end of the text is held out and "
        "scored after each epoch: the best epoch is kept, and training stops when the score has "
        "not risen for long; at the end its bits per character are printed beside those that "
        "counting n-grams achieves. Ctrl-C stops early and keeps the model.",
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
    parser.set_defaults(run=commands.train)


def _add_sample(parsers):
    what = "write text with a model of `numlstm train`, as it is made"
    parser = parsers.add_parser("sample", help=what, description=f"{what.capitalize()}.")
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
    parser.set_defaults(run=commands.sample)


def _add_score(parsers):
    parser = parsers.add_parser(
        "score",
        help="measure how well a model predicts a text",
        description="Print bits per character and perplexity of a UTF-8 text file under a model: "
        "the lower, the better.",
    )
    parser.add_argument("model", metavar="MODEL", help="file of `numlstm train`")
    parser.add_argument("text", metavar="TEXT", help="text file")
    parser.add_argument(
        "--baseline", metavar="FILE",
        help="text that the model was trained on: also print the bits per character that counting "
        f"its n-grams achieves (of the last {commands.COUNTED:,} characters)",
    )  # fmt: skip
    parser.set_defaults(run=commands.score)


def _add_forecast(parsers):
    parser = parsers.add_parser(
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
    parser.set_defaults(run=commands.forecast)


def build_parser():
    """Return the parser of all commands."""
    parser = _Parser(
        prog="numlstm",
        description="LSTM networks for the CPU, compiled with Numba.",
        epilog="`numlstm COMMAND --help` says more about a command.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for add in (_add_train, _add_sample, _add_score, _add_forecast, _add_others):
        add(parsers)
    return parser


def _add_others(parsers):
    demo = parsers.add_parser(
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
    demo.set_defaults(run=commands.demo)
    warm = parsers.add_parser(
        "warmup",
        help="compile every kernel into the cache",
        description="Compile every kernel into the cache, so that later runs start at once. Takes "
        "half a minute the first time.",
    )
    warm.add_argument(
        "--dtype", choices=("float32", "float64"), action="append",
        help="may be given twice (default: float32)",
    )  # fmt: skip
    warm.add_argument("--variants", action="store_true", help="those of LSTMVariant as well")
    warm.set_defaults(run=commands.warmup)


def _explain(error, arguments):
    """Return the message of an error in one line, in the words of the command line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return where + error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}".removesuffix(": ")
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
    # Of the caller of this function Ctrl-C is none of our business.
    with on_ctrl_c(leave) if argv is None else contextlib.nullcontext():
        parser = build_parser()
        arguments = _parse(parser, argv)
        if arguments.version:
            from numlstm import __version__

            print(f"numlstm {__version__}")
            return 0
        if arguments.command is None:
            parser.print_help(sys.stderr)
            return 2
        with tolerant_streams(), warnings.catch_warnings():
            warnings.showwarning = lambda text, *rest: say(text)
            return _run(arguments)


def _parse(parser, argv):
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:  # of which argparse itself does not say which command's they are
        name = f"numlstm {arguments.command}" if arguments.command else "numlstm"
        what = f"unrecognized arguments: {' '.join(unknown)}"
        parser.exit(2, f"{name}: {what} (see `{name} --help`)\n")
    return arguments


def _run(arguments):
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:
        write_to_nowhere(sys.stdout)  # whoever read our output has enough
        return 0
    except (OSError, ValueError, TypeError, ImportError, MemoryError, OverflowError) as error:
        print(f"numlstm {arguments.command}: {_explain(error, arguments)}", file=sys.stderr)
        return 2
    return 0
