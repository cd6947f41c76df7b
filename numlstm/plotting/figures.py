"""What the displays share: colours, axes, and where a picture can be saved."""

from pathlib import Path

HISTORY, TRUTH, FORECAST, BASELINE = "#7f7f7f", "#222222", "#d1495b", "#00798c"
PICTURES = (".png", ".pdf", ".svg", ".jpg", ".webp")


def check_picture(path):
    """Raise a ValueError, before any work, for the name of a file that cannot hold a picture."""
    if Path(path).suffix.lower() not in PICTURES:
        raise ValueError(f"{path} must end in one of {', '.join(PICTURES)} to be a picture")


def blank_figure(n_rows, size):
    """Return a figure to be saved, and its axes: no window, and pyplot does not know of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(n_rows, 1)


def axes_or_new(ax, **options):
    """Return the axes given, or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained", **options)[1]


def whole_numbers(*axis):
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    for one in axis:
        one.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
