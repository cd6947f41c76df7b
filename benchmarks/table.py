"""Rows of results as lines of text."""

NAME_WIDTH, LEAST_WIDTH = 34, 9


def head(title, columns):
    """Return the line above a table."""
    cells = (f"{name:>{_width(name, key)}}" for name, key, _ in columns)
    return f"\n{title:<{NAME_WIDTH}}{''.join(cells)}"


def line(row, columns):
    """Return the line of one row."""
    cells = (f"{_text(row[key], form):>{_width(name, key)}}" for name, key, form in columns)
    return f"{row['name']:<{NAME_WIDTH}}{''.join(cells)}"


def _text(value, form):
    return ("yes" if value else "NO") if isinstance(value, bool) else format(value, form)


def _width(name, key):
    """Return the width of a column; words need more than figures."""
    return 21 if key == "kind" else max(LEAST_WIDTH, len(name)) + 2
