"""Weights of a layer in the layout of ONNX's LSTM operator, and back.

ONNX has the gates in the order i, o, f, c (our g), a weight matrix of shape (4H, D) and one of
(4H, H) for each direction, two biases that it adds up, and peepholes of i, o, f.

With ``input_forget=1`` it couples the gates, and its text does not say how. onnxruntime keeps the
input gate, f = 1 - i = sigmoid(-s_i), which are our coupled gates with the signs of f turned
round. On the way out both gates get weights that fit: then it makes no difference which of them a
runtime keeps, nor whether it knows the attribute at all.
"""

import numpy as np

from numlstm.nn.variant import LSTMVariantWeights

GATES, OURS = "iofg", "ifgo"  # peepholes are in the same order, without g


def onnx_arrays(group):
    """Return W, R, B, and P where there are peepholes, of the directions of a layer.

    Parameters
    ----------
    group : list of LSTMWeights or of LSTMVariantWeights
    """
    have = OURS[-group[0].b.size // len(group[0].Wh) :]  # coupled, without i
    W, R, B = (np.stack([_reordered(w[k].T, have, GATES) for w in group]) for k in range(3))
    arrays = [W, R, np.concatenate([B, np.zeros_like(B)], axis=1)]
    if getattr(group[0], "peepholes", None) is not None:
        P = [_reordered(w.peepholes.reshape(-1), have.replace("g", ""), GATES[:3]) for w in group]
        arrays.append(np.stack(P))
    return arrays


def our_weights(W, R, B, P, coupled):
    """Return the weights of one direction.

    Parameters
    ----------
    W : array, (4H, D)
    R : array, (4H, H)
    B : array, (8H,)
    P : array, (3H,)
    coupled : bool

    Returns
    -------
    LSTMVariantWeights
    """
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused later
        bias = np.add(*np.split(B, 2))
    # Coupled, f is -i and what else the file holds for it is not used.
    have, want = (GATES.replace("f", "_"), OURS[1:]) if coupled else (GATES, OURS)
    Wx, Wh, b = (_reordered(array, have, want) for array in (W, R, bias))
    peepholes = _reordered(P, have[:3], want.replace("g", "")).reshape(-1, R.shape[1])
    return LSTMVariantWeights(Wx.T, Wh.T, b, peepholes=peepholes)


def _reordered(array, have, want):
    """Return a copy of an array with the gates of its first axis in another order.

    Of i and f, one that is not there is the negative of the other one.
    """
    blocks = dict(zip(have, np.split(array, len(have)), strict=True))
    for gate, other in ("if", "fi"):
        if gate not in blocks:
            blocks[gate] = -blocks[other]
    return np.concatenate([blocks[gate] for gate in want])
