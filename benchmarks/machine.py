"""The machine: what it is, and how much arithmetic it can do at most."""

import datetime
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
from timing import timed

from numlstm.kernels._threads import launch
from numlstm.kernels.products import Rows, rows_times_panels_chunk
from numlstm.nn.memory import aligned_zeros
from numlstm.nn.rows import full_length
from numlstm.nn.weights import vector_lanes

PACKAGES = ("numlstm", "numba", "llvmlite", "numpy", "torch", "onnxruntime")


def describe():
    """Return the machine, the day, and the versions of all that is measured."""
    from joblib import cpu_count

    return {
        "machine": f"{_cpu_model()}, {cpu_count()} cores, {platform.system()} {platform.machine()}",
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "vector_bits": 32 * vector_lanes(np.float32),
        **{name: version(name) for name in PACKAGES},
    }


def _cpu_model():
    """Return the model's name; Linux tells more than `platform.processor`."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Peak:
    """The register tile on matrices that stay in cache: what it does, and the most it was seen to.

    Attributes
    ----------
    gflop : float
        Arithmetic of one `multiply`.
    gflops : float
        Of the fastest call so far. A machine that is shared has its full speed only now and then.
    """

    N, K, COLUMNS = 2048, 256, 1024  # 2 ms on two cores at 480 GFLOP/s; waking them takes 0.01

    def __init__(self):
        wide = 2 * vector_lanes(np.float32)
        self._A = aligned_zeros((self.N, self.K), np.float32)
        self._C = aligned_zeros((self.N, self.COLUMNS), np.float32)
        self._panels = aligned_zeros((self.COLUMNS // wide, self.K, wide), np.float32)
        self._bias = aligned_zeros((self.COLUMNS,), np.float32)
        self.gflop, self.gflops = 2 * self.N * self.K * self.COLUMNS / 1e9, 0.0
        self.measure(200)

    def measure(self, calls=20):
        """Multiply some times more; raise the peak if one call was faster than all before."""
        best = min(timed(self.multiply) for _ in range(calls))
        self.gflops = max(self.gflops, self.gflop / best)

    def multiply(self):
        """Multiply once, on as many threads as are allowed."""
        A, C = (Rows(a.reshape(-1), 0, 0, a.shape[1]) for a in (self._A, self._C))
        launch(
            rows_times_panels_chunk, A, 0, self.K, self._panels, Rows(self._bias, 0, 0, 0),
            full_length(self.N, 1), C, work=10**12,
        )  # fmt: skip
