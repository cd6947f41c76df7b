"""How low character models get on tiny-shakespeare: three epochs, or one long training.

    python benchmarks/char_loss.py [--text FILE]
    python benchmarks/char_loss.py --long [--epochs N] [--dropout P] [--checkpoint FILE]

The first 90 % of the text are learnt, the next 5 % validate: embedding 64, Adam, clip 5, 64 streams
in chunks of 64 characters, state carried on. Without `--long`, 1 x 128 and 2 x 256 at a constant
rate of 2e-3, against limits a little above what PyTorch reaches with the same model (1.751, 1.554
nats). With it, 2 x 256 with dropout and a cosine schedule; whoever stops it goes on with the same
command, if there is a checkpoint.
"""

import argparse
import json
import math
import time
from pathlib import Path

from texts import load_text

from numlstm import CharLSTM

SHORT_EPOCHS, LIMITS = 3, {(1, 128): 1.77, (2, 256): 1.57}  # nats, by layers and units
LONG_SIZE, AIM = (2, 256), 1.45
LONG_RATE = 3e-3


def parts(text):
    """Return the text to learn and the text to validate on."""
    n = len(text)
    return text[: int(0.9 * n)], text[int(0.9 * n) : int(0.95 * n)]


def train(size, text, checkpoint=None, **settings):
    """Return a row about one training."""
    n_layers, units = size
    start = time.perf_counter()
    model = CharLSTM(units, n_layers, random_state=0, verbose=1, **settings)
    model.fit(*parts(text), checkpoint=checkpoint)
    return {
        "model": f"{n_layers} x {units}", **settings,
        "loss": [float(loss) for loss in model.loss_curve_],
        "validation_loss": [-float(score) for score in model.validation_scores_],
        "seconds": time.perf_counter() - start,
    }  # fmt: skip


def print_row(row, limit, figure):
    """Print the curve, and the figure against its limit."""
    print(f"{row['model']}, {row['seconds']:.0f} s; validation loss by epoch, in nats:")
    print("  " + " ".join(f"{loss:.3f}" for loss in row["validation_loss"]))
    verdict = "met" if figure <= limit else "NOT met"
    bits = figure / math.log(2)
    print(f"  {figure:.4f} nats, {bits:.3f} bits; at most {limit}: {verdict}", flush=True)


def draw(rows, path):
    """Draw the loss of each epoch on the text that is learnt and on the other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(rows), figsize=(5.5 * len(rows), 3.6), squeeze=False, layout="constrained"
    )
    for ax, row in zip(axes[0], rows, strict=True):
        epochs = range(1, len(row["loss"]) + 1)
        ax.plot(epochs, row["loss"], color="#edae49", marker=".", label="training")
        ax.plot(epochs, row["validation_loss"], color="#00798c", marker=".", label="validation")
        low = min(row["validation_loss"])
        ax.set(xlabel="epoch", ylabel="nats per character")
        ax.set_title(f"{row['model']}, validation down to {low:.3f} nats", fontsize=10)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def short(text):
    """Return the rows of the trainings over three epochs."""
    rows = []
    for size, limit in LIMITS.items():
        rows.append(train(size, text, max_iter=SHORT_EPOCHS))
        print_row(rows[-1], limit, rows[-1]["validation_loss"][-1])
    return rows


def long(text, options):
    """Return the row of the long training; its figure is that of the weights it keeps."""
    row = train(
        LONG_SIZE, text, options.checkpoint, max_iter=options.epochs, dropout=options.dropout,
        learning_rate="cosine", learning_rate_init=LONG_RATE, early_stopping=True,
        n_iter_no_change=options.epochs,
    )  # fmt: skip
    print_row(row, AIM, min(row["validation_loss"]))
    return [row]


def main(arguments=None):
    """Train, print, save and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", metavar="FILE", help="tiny-shakespeare by default")
    parser.add_argument("--long", action="store_true", help="one long training of 2 x 256")
    parser.add_argument("--epochs", type=int, default=40, help="of the long training")
    parser.add_argument("--dropout", type=float, default=0.4, help="of the long training")
    parser.add_argument("--checkpoint", metavar="FILE", help="of the long training")
    parser.add_argument("--json", metavar="FILE", help="write the curves here")
    parser.add_argument("--plot", metavar="PNG", help="draw them here")
    options = parser.parse_args(arguments)
    text = load_text(options.text)
    if text is None:
        raise SystemExit("no text to learn: --text FILE")
    rows = long(text, options) if options.long else short(text)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.plot:
        draw(rows, options.plot)


if __name__ == "__main__":
    main()
