"""What the commands of `numlstm` do. Each takes the arguments that `numlstm.cli` has read."""

import csv
import io
import math
import os
import sys

from numlstm.terminal import interrupt, on_ctrl_c, say

FLUSH_EVERY = 16  # characters of a sample
COUNTED = 2_000_000  # characters in which n-grams are counted: seconds, and 80 MB at most


def count(n, what):
    """Return a number of things in words."""
    return f"{n:,} {what}" if n != 1 else f"1 {what.removesuffix('s')}"


def _say_if_cold(*kernels):
    """Tell who looks at a still terminal what takes so long, where the cache lacks a kernel."""
    from numlstm.kernels._jit import CACHE_FOLDER

    if sys.stderr.isatty() and CACHE_FOLDER:
        if not all(any(CACHE_FOLDER.rglob(f"*.{kernel}-*.nbi")) for kernel in kernels):
            say("the first run compiles the kernels, for up to a minute")


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
    _say_if_cold("lstm_backward_chunk", "softmax_cross_entropy_chunk")
    with on_ctrl_c(interrupt):
        model.fit(text, checkpoint=arguments.checkpoint)
        model.save(arguments.output)
    n = len(model.vocabulary_)
    said = f"{count(model.n_iter_, 'epochs')}, {count(n, 'different characters')}"
    # At once: the model is there, whatever becomes of the rest.
    print(f"{arguments.output}: {said}", flush=True)
    if model.validation_scores_:
        _show_validation(model, text)


def _show_validation(model, text):
    """Print how well the end of a text is predicted by the model, and by counting the rest."""
    from numlstm.data.texts import held_out

    n = held_out(len(text), model.validation_fraction)
    learnt = len(text) - n
    print(f"held out: the last {count(n, 'characters')}")
    bits = -model.best_validation_score_ / math.log(2)
    print(f"  {bits:.3f} bits per character by the model", flush=True)
    bits, how = _by_counting(text[max(0, learnt - COUNTED) : learnt], text[learnt:], model)
    where = "the rest" if learnt <= COUNTED else f"the {COUNTED:,} before them"
    print(f"  {bits:.3f} by {how} in {where}")


def _by_counting(learnt, held, model):
    """Return bits per character by the best n-grams of a text, and in words how they came about."""
    from numlstm import NGramBaseline

    # Probabilities of the same alternatives: those that the model chooses from.
    counting = NGramBaseline.best(learnt, held, model.vocabulary_)
    return counting.bits_per_char(held), f"counting {counting.order}-grams"


def _load_text_model(path):
    from numlstm import CharLSTM, load

    model = load(path)
    if not isinstance(model, CharLSTM):
        raise ValueError(f"{path} holds an {type(model).__name__}, not a character model")
    return model


def sample(arguments):
    """Run `numlstm sample`."""
    model = _load_text_model(arguments.model)
    if arguments.random_state is None:
        model.set_params(random_state=None)
    _say_if_cold("generate_tokens_chunk")
    characters = model.stream(
        arguments.n_chars, prompt=arguments.prompt, temperature=arguments.temperature,
        top_k=arguments.top_k, top_p=arguments.top_p, random_state=arguments.random_state,
    )  # fmt: skip
    print(arguments.prompt, end="", flush=True)
    for n, character in enumerate(characters):
        # Lines and a few characters at a time: as they are made, for a reader as for a terminal.
        print(character, end="", flush=character == "\n" or n % FLUSH_EVERY == 0)
    print(flush=True)


def score(arguments):
    """Run `numlstm score`."""
    from numlstm.data.texts import read_text

    model = _load_text_model(arguments.model)
    text, path = read_text(arguments.text), arguments.baseline
    learnt = path and _read_baseline(path, arguments.text, model)
    _say_if_cold("read_tokens_chunk")
    bits = model.bits_per_char(text)
    n = count(len(text), "characters")
    perplexity = 2**bits if bits < 1024 else math.inf
    print(f"{n}, {bits:.4f} bits per character, perplexity {perplexity:.3f}", flush=True)
    if path:
        bits, how = _by_counting(learnt[-COUNTED:], text, model)
        part = "" if len(learnt) <= COUNTED else f"the last {count(COUNTED, 'characters')} of "
        print(f"{bits:.4f} by {how} in {part}{path}")


def _read_baseline(path, scored, model):
    from numlstm.data.texts import read_text

    if os.path.realpath(path) == os.path.realpath(scored):
        raise ValueError("baseline must be another text than the one that is scored")
    text = read_text(path)
    unknown = sorted(set(text).difference(model.vocabulary_))
    if unknown:
        raise ValueError(
            f"baseline must hold characters of the model only, as the text it was trained on does; "
            f"{path} holds {unknown[0]!r}"
        )
    return text


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
    _say_if_cold("lstm_backward_chunk", "regression_loss")
    try:
        values = model.fit(y).predict()
    except ValueError as error:
        if not str(error).startswith("y "):
            raise
        raise ValueError(f"{path}: {column} {str(error)[2:]}") from None
    if arguments.plot:
        figure, ax = plotting.blank_figure(1, (9, 4))
        plotting.ForecastDisplay(history=y[-5 * horizon :], forecast=values).plot(ax)
        ax.set(xlabel="step", ylabel=column)
        figure.savefig(arguments.plot, dpi=130)
        print(f"{arguments.plot}: picture", file=sys.stderr)
    _write_forecast(arguments.output, column, values)


def _write_forecast(path, column, values):
    from numlstm.persistence import write_file

    rows = [("step", column), *((k, f"{v:.10g}") for k, v in enumerate(values, 1))]
    file = sys.stdout if path is None else io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    if path is not None:
        write_file(path, file.getvalue().encode())
        print(f"{path}: {count(len(values), 'steps')} of {column}", file=sys.stderr)


def demo(arguments):
    """Run `numlstm demo`."""
    from numlstm import demo, plotting
    from numlstm.persistence import check_output

    check_output(arguments.output)
    plotting.check_picture(arguments.output)
    demo.run(arguments.output)


def warmup(arguments):
    """Run `numlstm warmup`."""
    import time

    from numlstm.estimators.warmup import compile_everything, compile_variants
    from numlstm.kernels._jit import CACHE_FOLDER, locked

    if CACHE_FOLDER is None:
        raise OSError("there is no writable cache folder: set NUMBA_CACHE_DIR")
    _say_if_cold("generate_tokens_chunk", "log_loss")
    begin = time.perf_counter()
    with locked(CACHE_FOLDER / "warmup.lock"):  # a second one then finds everything compiled
        for dtype in arguments.dtype or ["float32"]:
            compile_everything(dtype)
            if arguments.variants:
                compile_variants(dtype)
    print(f"compiled in {time.perf_counter() - begin:.1f} s: {CACHE_FOLDER}")
