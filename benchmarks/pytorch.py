"""PyTorch's side of a task: the same weights and data, and the ways in which PyTorch can run."""

import itertools
from contextlib import contextmanager

import torch
from ours import THREADS
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from numlstm.interop import to_torch


class Torch:
    """`torch.nn.LSTM`, batch first; ragged sequences are packed and padded again in each call."""

    def __init__(self, task):
        self.module = torch_lstm(task.lstm)
        self.X = torch.from_numpy(task.X)
        self.wanted = self.X.clone().requires_grad_(True)  # X whose gradient is wanted
        self.upstream = torch.from_numpy(task.upstream)
        self.lengths = None if task.lengths is None else torch.from_numpy(task.lengths)

    def _outputs(self, X):
        if self.lengths is None:
            return self.module(X)[0]
        packed = pack_padded_sequence(X, self.lengths, batch_first=True, enforce_sorted=False)
        outputs = self.module(packed)[0]
        return pad_packed_sequence(outputs, batch_first=True, total_length=X.shape[1])[0]

    def infer(self):
        """Return the outputs."""
        with torch.inference_mode():
            return self._outputs(self.X)

    def train(self):
        """Return the gradient of X; those of the weights are in the module."""
        self.module.zero_grad()
        self.wanted.grad = None
        self._outputs(self.wanted).backward(self.upstream)
        return self.wanted.grad


def torch_lstm(lstm):
    """Return a torch.nn.LSTM with the weights of ours."""
    module = torch.nn.LSTM(
        lstm.input_size, lstm.hidden_size, lstm.n_layers, batch_first=True,
        bidirectional=lstm.bidirectional, dtype=getattr(torch, str(lstm.dtype)),
    )  # fmt: skip
    module.load_state_dict({k: torch.from_numpy(a) for k, a in to_torch(lstm).items()})
    return module


@contextmanager
def torch_inference(threads, onednn):
    """Let PyTorch run without gradients, on so many threads, with or without oneDNN."""
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = onednn
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(THREADS)
        torch.backends.mkldnn.enabled = True


def torch_ways():
    """Yield a name and a context for each way to run PyTorch: threads, with oneDNN and without."""
    for threads, onednn in itertools.product((1, 2), (True, False)):
        name = f"oneDNN {'on' if onednn else 'off'}, {threads} thread{'s' * (threads > 1)}"
        yield name, lambda t=threads, o=onednn: torch_inference(t, o)
