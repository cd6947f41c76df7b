"""Which layers of a Keras configuration form a stack of LSTMs that a `numlstm.LSTM` can be."""

# Layers that do nothing outside training, or to sequences without a mask.
IDLE = {
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "Identity", "InputLayer", "Masking", "SpatialDropout1D",
}  # fmt: skip
GROUPS = {"LSTM": "lstm", "Bidirectional": "bidirectional"}
MODELS = {"Sequential", "Functional"}
DEFAULTS = {"activation": "tanh", "recurrent_activation": "sigmoid"}
DROPOUTS = {
    "dropout": "since a numlstm.LSTM drops no inputs",
    "recurrent_dropout": "since that of an LSTMVariant has one mask for all gates, Keras four",
}


def find_stack(config):
    """Return the names of the groups of LSTM layers in a `.weights.h5`, the lowest first.

    Parameters
    ----------
    config : dict
        What a `.keras` file calls its configuration.

    Raises
    ------
    ValueError
        If there are none, they are not one stack, or a layer is not as a `numlstm.LSTM` is.
    """
    if config["class_name"] not in MODELS:
        raise ValueError(
            f"it holds a model of the class {config['class_name']}, whose code says how its layers "
            "are joined: pass get_weights() of these layers"
        )
    layers = {layer["config"]["name"]: layer for layer in config["config"]["layers"]}
    names = _group_names(layers)
    if not names:
        found = ", ".join(sorted({layer["class_name"] for layer in layers.values()})) or "none"
        raise ValueError(f"it has no LSTM layers; its layers are: {found}")
    inputs = _inputs(config["class_name"], layers)
    below = {name: _below(name, layers, inputs) for name in names}
    stack = _one_stack(below)
    for name in stack:
        _check_layer(name, layers[name], name == stack[-1])
    return [names[name] for name in stack]


def _group_names(layers):
    """Return the group of every LSTM layer: its class, and its turn among those of the class."""
    turns, names = dict.fromkeys(GROUPS, 0), {}
    for name, layer in layers.items():
        kind = layer["class_name"]
        if kind in GROUPS:
            names[name] = f"{GROUPS[kind]}_{turns[kind]}" if turns[kind] else GROUPS[kind]
            turns[kind] += 1
    return names


def _inputs(kind, layers):
    """Return a list of lists: for every call of a layer the layers that it reads."""
    if kind == "Sequential":
        names = list(layers)
        return {name: [names[k - 1 : k] if k else []] for k, name in enumerate(names)}
    return {
        name: [list(_sources(call)) for call in layer.get("inbound_nodes", [])]
        for name, layer in layers.items()
    }


def _sources(call):
    """Yield the names of layers in what Keras 3, or 2, writes of a call."""
    if isinstance(call, dict):
        if "keras_history" in call:
            yield call["keras_history"][0]
        else:
            for part in call.values():
                yield from _sources(part)
    elif isinstance(call, list):
        if len(call) > 2 and isinstance(call[0], str) and isinstance(call[1], int):
            yield call[0]
        else:
            for part in call:
                yield from _sources(part)


def _below(name, layers, inputs):
    """Return the LSTM layer right below another, or None, and what it reads in words."""
    for _ in range(len(layers) + 1):
        calls = inputs[name]
        if len(calls) > 1:
            return None, f"{len(calls)} inputs, one after the other"
        if not calls or not calls[0]:
            return None, "an input of the model"
        if len(calls[0]) > 1:
            return None, f"{' and '.join(calls[0])} together"
        (name,) = calls[0]
        kind = layers[name]["class_name"]
        if kind in GROUPS:
            return name, name
        if kind not in IDLE:
            return None, f"{kind} {name}"
    raise ValueError("its layers run in a circle")


def _one_stack(below):
    """Return the layers of the only stack, the lowest first."""
    tops = set(below) - {lower for lower, _ in below.values()}
    stack, name = [], next(iter(tops)) if len(tops) == 1 else None
    while name is not None:
        stack.append(name)
        name, _ = below[name]
    if len(stack) != len(below):
        reads = "; ".join(f"{name} reads {what}" for name, (_, what) in below.items())
        raise ValueError(f"its LSTM layers do not form one stack: {reads}")
    return stack[::-1]


def _check_layer(name, layer, highest):
    """Raise a ValueError for a layer that computes something else than ours."""
    own = layer["config"]
    if layer["class_name"] == "LSTM":
        _check_lstm(name, own, False, highest)
        return
    if own["merge_mode"] != "concat":
        raise ValueError(
            f"{name} merges its directions by {own['merge_mode']!r}; a numlstm.LSTM joins them "
            "('concat')"
        )
    ways = [own["layer"], own.get("backward_layer", own["layer"])]
    for way in ways:
        if way["class_name"] != "LSTM":
            raise ValueError(f"{name} holds a {way['class_name']}, not an LSTM")
    _check_lstm(name, ways[0]["config"], False, highest)
    _check_lstm(name, ways[1]["config"], "backward_layer" in own, highest)


def _check_lstm(name, config, backwards, highest):
    for key, expected in DEFAULTS.items():
        if config[key] != expected:
            raise ValueError(f"{name} has the {key} {config[key]!r}, not {expected!r}")
    for key, what in DROPOUTS.items():
        if rate := config.get(key):
            raise ValueError(
                f"{name} has {key}={rate}, which would be lost, {what}: it acts in training only, "
                "and get_weights(), or a .weights.h5 file, is the weights alone"
            )
    if bool(config.get("go_backwards")) != backwards:
        raise ValueError(f"{name} reads its input backwards (go_backwards)")
    if not (highest or config.get("return_sequences")):
        raise ValueError(f"{name} returns its last output only, but is not the highest layer")
