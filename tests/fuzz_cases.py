"""What the fuzzer draws: constructor parameters and inputs, most of them sound, some not."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from numlstm import LSTMVariant

JUNK = st.sampled_from([None, -1, 0, 2.5, "junk", np.nan, np.inf, [], {}, True, b"x", 1j])


def mostly(sound, odds=24):
    """Return a strategy of sound values, and once in a while of junk."""
    return st.integers(0, odds).flatmap(lambda k: JUNK if k == 0 else sound)


positive = st.sampled_from([1e-300, 1e-30, 1e-6, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e6, 1e30, 1e300])
share = st.sampled_from([1e-9, 0.1, 0.25, 0.5, 0.9, 1 - 1e-9])
PARAMETERS = {
    "hidden_size": st.sampled_from([1, 2, 3, 17, np.int64(4), 10**6]),
    "n_layers": st.integers(1, 3),
    "bidirectional": st.booleans(),
    "dropout": st.sampled_from([0.0, 0.0, 0.0, 0.3, 1 - 1e-9]),
    "forget_bias": st.sampled_from([1.0, 0.0, -3, 1e3, -1e300, 1e30]),
    "variant": st.sampled_from(
        [
            None,
            LSTMVariant(peepholes=True, coupled_gates=True, cell_clip=1e-30),
            LSTMVariant(proj_size=1, proj_clip=1e300, layer_norm=True),
            LSTMVariant(zoneout_cell=0.5, zoneout_hidden=1 - 1e-9, recurrent_dropout=1 - 1e-9),
        ]
    ),
    "solver": st.sampled_from(["adam", "sgd", "lbfgs"]),
    "learning_rate_init": st.one_of(st.sampled_from([1e-3, 1e-2]), positive),
    "alpha": st.one_of(st.just(0.0), positive),
    "batch_size": st.sampled_from([1, 2, 5, 32, 10**12]),
    "max_iter": st.integers(0, 3),
    "clip_norm": st.one_of(st.sampled_from([None, 1.0]), positive),
    "shuffle": st.booleans(),
    "early_stopping": st.booleans(),
    "validation_fraction": share,
    "n_iter_no_change": st.integers(1, 3),
    "tol": st.sampled_from([0.0, 1e-4, 1e300]),
    "standardize": st.booleans(),
    "warm_start": st.booleans(),
    "random_state": st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    "n_threads": st.sampled_from([None, 1, 2, 10**6]),
    "dtype": st.sampled_from(["float32", "float64", np.float32, np.dtype("float64")]),
    "loss": st.sampled_from(["squared_error", "absolute_error", "huber", "quantile"]),
    "quantile": share,
    "class_weight": st.sampled_from([None, "balanced", {0: 2.0}, {"a": 0.5, "b": 1}, {7: 1}]),
    "window": st.integers(1, 5),
    "horizon": st.integers(1, 4),
    "strategy": st.sampled_from(["direct", "recursive"]),
    "embedding_size": st.sampled_from([None, 1, 5]),
    "seq_length": st.sampled_from([1, 3, 64]),
    "learning_rate": st.sampled_from(["constant", "cosine"]),
}


def parameters(kind):
    """Return a strategy of some constructor parameters of an estimator."""
    names = sorted(kind().get_params().keys() - {"verbose"})
    strategies = {name: mostly(PARAMETERS[name]) for name in names}
    if kind.__name__ == "LSTMClassifier":
        strategies["loss"] = mostly(st.just("log_loss"))
    few = st.lists(st.sampled_from(names), max_size=7, unique=True)
    return few.flatmap(
        lambda some: st.fixed_dictionaries({name: strategies[name] for name in some})
    )


SIZES = st.sampled_from([1.0, 1.0, 1.0, 0.0, 1e-300, 1e-40, 1e-9, 1e9, 1e25, 1e37, 1e200, 1e307])
OFFSETS = st.sampled_from([0.0, 0.0, 0.0, 1.0, -1e6, 1e30])
BAD = st.sampled_from([np.nan, np.inf, -np.inf])


@st.composite
def numbers(draw, shape):
    """Random numbers of any size; once in a while one of them is none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(size=shape) * draw(SIZES) + draw(OFFSETS)
    if draw(st.integers(0, 9)) == 0:
        values = np.round(values / (np.abs(values).max(initial=0) or 1) * 3)  # ties
    if values.size and draw(st.integers(0, 19)) == 0:
        values.reshape(-1)[rng.integers(values.size)] = draw(BAD)
    return values


FORMS = {
    "array": lambda X: X,
    "float32": lambda X: np.asarray(np.clip(X, -1e38, 1e38), np.float32),
    "Fortran": np.asfortranarray,
    "nested lists": np.ndarray.tolist,
    "objects": lambda X: X.astype(object),
    "strings": lambda X: X.astype(str),
    "backwards": lambda X: X[::-1],
}


@st.composite
def sequences(draw):
    """X in one of its forms, and the lengths of its sequences."""
    n = draw(st.sampled_from([0, 1, 1, 2, 3, 5, 8, 40]))
    T, D = draw(st.sampled_from([1, 1, 2, 3, 9])), draw(st.sampled_from([1, 2, 3]))
    kind = draw(st.sampled_from(["3-D", "3-D", "2-D", "table", "ragged", "other"]))
    form = FORMS[draw(st.sampled_from(["array"] * 6 + list(FORMS)))]
    if kind == "ragged":
        lengths = draw(st.lists(st.integers(0 if n == 5 else 1, 9), min_size=n, max_size=n))
        rows = draw(numbers((sum(lengths), D)))
        parts = np.split(rows, np.cumsum(lengths)[:-1]) if n else []
        return [form(part) for part in parts] if n != 3 else tuple(parts), lengths
    if kind == "table":
        return pd.DataFrame(draw(numbers((n, T)))).add_prefix("lag "), [T] * n
    if kind == "other":
        return draw(st.one_of(JUNK, numbers((n,)), numbers((n, T, D, 1)), numbers((n, 0, D)))), [
            T
        ] * n
    return form(draw(numbers((n, T) if kind == "2-D" else (n, T, D)))), [T] * n


LABELS = [["a", "b"], [0, 1], ["x", "y", "z"], [True, False], [3.0, -1.0], ["same"], [1.5, 2.5]]


@st.composite
def targets(draw, lengths, labels):
    """Return y for sequences: one for each, several, or one for each step; sometimes too few."""
    n, steps = len(lengths), sum(lengths)
    per_step = draw(st.integers(0, 3)) == 0
    count = steps if per_step else n
    if labels:
        of = np.array(draw(st.sampled_from(LABELS)))
        values = of[np.random.default_rng(draw(st.integers(0, 999))).integers(len(of), size=count)]
    else:
        K = draw(st.sampled_from([1, 1, 2]))
        values = draw(numbers((count, K) if per_step or K > 1 else (count,)))
    if per_step and n:
        values = np.split(values, np.cumsum(lengths)[:-1])
        if len(set(lengths)) == 1 and draw(st.booleans()):
            values = np.stack(values)
    odd = draw(st.integers(0, 19))
    if odd == 0:
        return draw(JUNK)
    if odd == 1:
        return values[:-1]
    return list(values) if odd < 6 else values


@st.composite
def weights(draw, n):
    """Return sample weights, or more often none."""
    if draw(st.integers(0, 3)):
        return None
    if draw(st.booleans()):
        return np.random.default_rng(draw(st.integers(0, 99))).integers(0, 3, n)
    return draw(numbers((n,)))


@st.composite
def series(draw):
    """Return y and X for a forecaster."""
    n = draw(st.sampled_from([0, 1, 3, 8, 12, 30]))
    y = draw(numbers((n,) if draw(st.integers(0, 2)) else (n, 2)))
    if n and draw(st.integers(0, 4)) == 0:
        y[np.random.default_rng(n).integers(n)] = np.nan
    X = draw(st.one_of(st.none(), st.none(), numbers((n, 2)), numbers((n + 1, 1))))
    form = draw(st.sampled_from(["array"] * 3 + ["pandas", "list", "junk"]))
    if form == "pandas":
        index = draw(
            st.sampled_from([pd.RangeIndex(n), pd.date_range("2020", periods=n, freq="D")])
        )
        y = pd.Series(y, index) if y.ndim == 1 else pd.DataFrame(y, index)
    return {"list": lambda: y.tolist(), "junk": lambda: draw(JUNK)}.get(form, lambda: y)(), X


texts = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="ab \n", min_size=2, max_size=300),
    st.text(min_size=2, max_size=40).map(lambda text: text * 9),
    JUNK,
)
