"""The command `numlstm`."""

import argparse
import contextlib
import os
import sys
import warnings
from pathlib import Path


def _add_train(commands):
    parser = commands.add_parser(
        "train",
        help="train a character model on a text file",
        description="Train a character model on a UTF-8 text file. The end of the text is held out "
        "and scored after each epoch. Ctrl-C stops early and keeps the model.",
    )
    add = parser.add_argument
    add("text", metavar="TEXT", help="text file to learn")
    add("-o", "--output", required=True, metavar="MODEL", help="file to write (.safetensors)")
    add("--hidden-size", type=int, default=128, help="units per layer (default: %(default)s)")
    add("--n-layers", type=int, default=1, help="LSTM layers (default: %(default)s)")
    add("--embedding-size", type=int, default=64, help="0: one-hot (default: %(default)s)")
    add("--seq-length", type=int, default=64, help="characters per chunk (default: %(default)s)")
    add("--batch-size", type=int, default=64, help="streams side by side (default: %(default)s)")
    add("--max-iter", type=int, default=10, help="epochs (default: %(default)s)")
    add("--learning-rate-init", type=float, default=2e-3, help="(default: %(default)s)")
    add(
        "--learning-rate", choices=("constant", "cosine", "step"), default="cosine",
        help="schedule (default: %(default)s)",
    )  # fmt: skip
    add("--dropout", type=float, default=0.0, help="between layers (default: %(default)s)")
    add(
        "--validation-fraction", type=float, default=0.05,
        help="share of the text to hold out; the best epoch is kept (default: %(default)s)",
    )  # fmt: skip
    add("--random-state", type=int, default=0, metavar="SEED", help="(default: %(default)s)")
    add("--n-threads", type=int, help="default: all")
    add("--checkpoint", metavar="FILE", help="write progress here, and go on from it if it exists")
    add("-v", "--verbose", action="store_true", help="also show a sample after each epoch")
    parser.set_defaults(run=train)


def _add_sample(commands):
    parser = commands.add_parser(
        "sample",
        help="write text with a trained model",
        description="Write text with a model of `numlstm train`, as it is made.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="file of `numlstm train`")
    add("--prompt", default="", help="text to go on from")
    add("--n-chars", type=int, default=500, help="characters to write (default: %(default)s)")
    add("--temperature", type=float, default=0.8, help="0: no chance (default: %(default)s)")
    add("--top-k", type=int, help="draw from the K most probable characters only")
    add("--top-p", type=float, help="draw from the fewest characters that reach probability P")
    add("--random-state", type=int, metavar="SEED", help="default: different every time")
    parser.set_defaults(run=sample)


def _add_score(commands):
    parser = commands.add_parser(
        "score",
        help="measure how well a model predicts a text",
        description="Print bits per character and perplexity of a text file under a model.",
    )
    parser.add_argument("model", metavar="MODEL", help="file of `numlstm train`")
    parser.add_argument("text", metavar="TEXT", help="text file")
    parser.set_defaults(run=score)


def _add_forecast(commands):
    parser = commands.add_parser(
        "forecast",
        help="forecast a column of a CSV file",
        description="Fit a forecaster to a column of a CSV file with a header, oldest row first; "
        "empty fields are missing values.",
    )
    add = parser.add_argument
    add("series", metavar="CSV", help="file with a header line")
    add("--column", help="name of the column (default: the last one)")
    add("--horizon", type=int, required=True, help="steps to forecast")
    add("--window", type=int, help="past values to read (default: a quarter of them, at most 48)")
    add("--hidden-size", type=int, default=16, help="units (default: %(default)s)")
    add("--max-iter", type=int, default=200, help="epochs at most (default: %(default)s)")
    add("--random-state", type=int, default=0, metavar="SEED", help="(default: %(default)s)")
    add("-o", "--output", metavar="CSV", help="file to write (default: print)")
    add("--plot", metavar="PNG", help="picture to write")
    parser.set_defaults(run=forecast)


def build_parser():
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="numlstm", description="LSTM networks for the CPU, compiled with Numba."
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="forecast real series and write text, beside honest baselines",
        description="Fit forecasters on shipped series and a character model on Python's own "
        "documentation, print their figures beside those of baselines, write a picture.",
    )
    demo.add_argument(
        "-o", "--output", default="numlstm-demo.png", metavar="PNG",
        help="picture to write (default: %(default)s)",
    )  # fmt: skip
    demo.set_defaults(run=run_demo)
    for add in (_add_train, _add_sample, _add_score, _add_forecast):
        add(commands)
    warm = commands.add_parser(
        "warmup",
        help="compile every kernel into the cache",
        description="Compile every kernel into the cache, so that later processes start at once.",
    )
    warm.add_argument(
        "--dtype", choices=("float32", "float64"), action="append",
        help="may be given twice (default: float32)",
    )  # fmt: skip
    warm.set_defaults(run=warmup)
    return parser


def _read_text(path, at_least):
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from None
    if len(text) < at_least:
        raise ValueError(f"{path} must hold at least {at_least} characters, got {len(text)}")
    return text


def _check_folder(path):
    """Raise before any work if a file cannot be written later."""
    folder = Path(path).resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(f"{path} cannot be written: {folder} is not a writable folder")
    if Path(path).is_dir():
        raise OSError(f"{path} cannot be written: it is a folder")


def train(arguments):
    """Run `numlstm train`."""
    from numlstm import CharLSTM

    _check_folder(arguments.output)
    text = _read_text(arguments.text, arguments.seq_length + 2)
    names = (
        "hidden_size", "n_layers", "seq_length", "batch_size", "max_iter", "learning_rate_init",
        "learning_rate", "dropout", "validation_fraction", "random_state", "n_threads",
    )  # fmt: skip
    model = CharLSTM(
        embedding_size=arguments.embedding_size or None, early_stopping=True,
        verbose=2 if arguments.verbose else 1,
        **{name: getattr(arguments, name) for name in names},
    )  # fmt: skip
    model.fit(text, checkpoint=arguments.checkpoint)
    model.save(arguments.output)
    print(
        f"{arguments.output}: {model.n_iter_} epochs, {len(model.vocabulary_)} characters", end=""
    )
    if model.validation_scores_:
        print(
            f", {-model.best_validation_score_ / 0.6931471805599453:.3f} bits per character", end=""
        )
    print(" on the part held out")


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
    out = sys.stdout
    out.write(arguments.prompt)
    for character in characters:
        out.write(character)
        if character == "\n":
            out.flush()
    out.write("\n")
    out.flush()


def score(arguments):
    """Run `numlstm score`."""
    model = _load_text_model(arguments.model)
    text = _read_text(arguments.text, 1)
    bits = model.bits_per_char(text)
    print(f"{len(text)} characters, {bits:.4f} bits per character, perplexity {2**bits:.3f}")


def _read_column(path, column):
    import csv

    import numpy as np

    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            rows = list(csv.reader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not a CSV file: {error}") from None
    if len(rows) < 2:
        raise ValueError(f"{path} must hold a header and at least one row, got {len(rows)} lines")
    header = rows[0]
    column = header[-1] if column is None else column
    if column not in header:
        raise ValueError(f"{path} has no column {column!r}; its columns are {', '.join(header)}")
    k, values = header.index(column), []
    for number, row in enumerate(rows[1:], 2):
        field = row[k].strip() if k < len(row) else ""
        try:
            values.append(float(field) if field else np.nan)
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: {column} must be a number, got {field!r}"
            ) from None
    return column, np.array(values)


def forecast(arguments):
    """Run `numlstm forecast`."""
    from numlstm import LSTMForecaster

    for path in filter(None, (arguments.output, arguments.plot)):
        _check_folder(path)
    column, y = _read_column(arguments.series, arguments.column)
    window = arguments.window or max(1, min(48, len(y) // 4))
    model = LSTMForecaster(
        window, arguments.horizon, hidden_size=arguments.hidden_size, learning_rate_init=1e-2,
        max_iter=arguments.max_iter, random_state=arguments.random_state, verbose=1,
    )  # fmt: skip
    values = model.fit(y).predict()
    lines = [f"step,{column}", *(f"{k},{v:.10g}" for k, v in enumerate(values, 1))]
    if arguments.output:
        Path(arguments.output).write_text("\n".join(lines) + "\n")
        print(f"{arguments.output}: {len(values)} steps of {column}")
    else:
        print("\n".join(lines))
    if arguments.plot:
        import matplotlib

        matplotlib.use("Agg")
        from numlstm.plotting import ForecastDisplay

        display = ForecastDisplay(history=y[-5 * len(values) :], forecast=values).plot()
        display.ax_.set_ylabel(column)
        display.figure_.savefig(arguments.plot, dpi=130)
        print(f"{arguments.plot}: picture")


def run_demo(arguments):
    """Run `numlstm demo`."""
    from numlstm import demo

    _check_folder(arguments.output)
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

    from numlstm import CharLSTM, LSTMRegressor
    from numlstm.kernels._jit import CACHE_FOLDER

    if CACHE_FOLDER is None:
        raise OSError("there is no writable cache folder: set NUMBA_CACHE_DIR")
    begin = time.perf_counter()
    with _one_at_a_time(CACHE_FOLDER):
        for dtype in arguments.dtype or ["float32"]:
            X = [[[float(n + t)] for t in range(4)] for n in range(64)]
            for solver in ("adam", "sgd"):
                model = LSTMRegressor(
                    40, 2, dropout=0.1, solver=solver, dtype=dtype, max_iter=1, batch_size=64
                )
                model.fit(X, range(64)).trace(X)
            text = CharLSTM(16, 2, dtype=dtype, seq_length=8, batch_size=2, max_iter=1)
            text.fit("to be, or not to be, that is the question", "to be").generate(3, top_k=2)
            text.score("to be")
    print(f"compiled in {time.perf_counter() - begin:.1f} s: {CACHE_FOLDER}")


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
        parser.print_help()
        return 2
    warnings.showwarning = lambda message, *rest: print(f"numlstm: {message}", file=sys.stderr)
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
    except (OSError, ValueError, TypeError) as error:
        print(f"numlstm {arguments.command}: {error}", file=sys.stderr)
        return 2
    return 0
