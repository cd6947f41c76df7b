"""LSTM layer against PyTorch: training step and inference, interleaved in one process.

    python benchmarks/lstm_speed.py [--json FILE] [--plot PNG] [--threads N]

Both sides take and return batch-first arrays through their public interface. A timed call follows
an untimed one of the same side, because the threads of the other side still spin for a while after
its last call and would be measured too. Ratios are PyTorch's time over ours, so above 1 we are
ahead; absolute times drift with the machine.
"""

import argparse
import json
import platform
import time

import numpy as np

SHAPES = [  # batch, time steps, inputs, units, options of the layer
    (64, 50, 1, 2, {}),
    (64, 50, 1, 32, {}),
    (64, 50, 1, 128, {}),
    (32, 100, 64, 128, {}),
    (64, 100, 128, 256, {}),
    (128, 50, 64, 512, {}),
    (50, 50, 64, 64, {}),
    (50, 50, 128, 128, {}),
    (50, 50, 256, 256, {}),
    (50, 50, 512, 512, {}),
    (1, 100, 64, 128, {}),
    (1, 1000, 64, 512, {}),
    (256, 20, 32, 64, {}),
    (7, 33, 5, 50, {}),
    (64, 50, 128, 256, {"n_layers": 2}),
    (64, 50, 64, 128, {"bidirectional": True}),
]


def peak(n_threads):
    """Return the measured GFLOP/s of the register tile on matrices that stay in cache."""
    from numlstm.kernels._threads import launch, thread_limit
    from numlstm.kernels.products import Rows, rows_times_panels_chunk
    from numlstm.nn.memory import aligned_zeros
    from numlstm.nn.rows import full_length
    from numlstm.nn.weights import vector_lanes

    K, N, wide = 256, 512, 2 * vector_lanes(np.float32)
    A, C = aligned_zeros((N, K), np.float32), aligned_zeros((N, wide), np.float32)
    panels, zeros = aligned_zeros((1, K, wide), np.float32), aligned_zeros((wide,), np.float32)
    rows = [Rows(a.reshape(-1), 0, 0, w) for a, w in ((A, K), (zeros, 0), (C, wide))]

    def run():
        launch(
            rows_times_panels_chunk, rows[0], 0, K, panels, rows[1]._replace(row=0),
            full_length(N, 1), rows[2], work=10**12,
        )  # fmt: skip

    with thread_limit(n_threads):
        for _ in range(20):
            run()
        best = min(_timed(run) for _ in range(200))
    return 2 * N * K * wide / best / 1e9


def _timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def paired(ours, theirs, seconds):
    """Return the median times of two functions, called in turn for about so many seconds."""
    for function in (ours, theirs):
        function()
        function()
    rounds = int(np.clip(seconds / (2 * _timed(ours) + 2 * _timed(theirs)), 5, 200))
    times = ([], [])
    for _ in range(rounds):
        for function, out in zip((ours, theirs), times, strict=True):
            function()
            out.append(_timed(function))
    return np.median(times[0]), np.median(times[1])


def multiply_adds(B, T, D, H, options):
    """Return the multiply-adds of one forward pass."""
    total, inputs = 0, D
    directions = 2 if options.get("bidirectional") else 1
    for _ in range(options.get("n_layers", 1)):
        total += B * T * 4 * H * (inputs + H) * directions
        inputs = H * directions
    return total


def measure(B, T, D, H, options, seconds):
    """Return one row of the table."""
    import torch

    from numlstm import LSTM

    rng = np.random.default_rng(0)
    X = rng.standard_normal((B, T, D)).astype(np.float32)
    ours = LSTM(D, H, random_state=0, **options)
    theirs = torch.nn.LSTM(
        D, H, batch_first=True, num_layers=options.get("n_layers", 1),
        bidirectional=options.get("bidirectional", False),
    )  # fmt: skip
    tensor = torch.from_numpy(X).requires_grad_(True)
    plain = torch.from_numpy(X)
    upstream = rng.standard_normal(ours(X)[0].shape).astype(np.float32)
    upstream_tensor = torch.from_numpy(upstream)

    def train_ours():
        ours.forward(X)
        ours.backward(upstream)

    def train_theirs():
        theirs.zero_grad()
        tensor.grad = None
        theirs(tensor)[0].backward(upstream_tensor)

    def infer_theirs():
        with torch.inference_mode():
            theirs(plain)

    training = paired(train_ours, train_theirs, seconds)
    inference = paired(lambda: ours(X), infer_theirs, seconds)
    flops = 2 * multiply_adds(B, T, D, H, options)
    return {
        "shape": [B, T, D, H], "options": options,
        "train_ms": training[0] * 1e3, "train_torch_ms": training[1] * 1e3,
        "train_ratio": training[1] / training[0],
        "train_gflops": 3 * flops / training[0] / 1e9,
        "infer_ms": inference[0] * 1e3, "infer_torch_ms": inference[1] * 1e3,
        "infer_ratio": inference[1] / inference[0],
        "infer_gflops": flops / inference[0] / 1e9,
    }  # fmt: skip


def draw(rows, path):
    """Write the ratios as a bar chart."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [
        "x".join(map(str, r["shape"])) + "".join(f" {k}={v}" for k, v in r["options"].items())
        for r in rows
    ]
    y = np.arange(len(rows))
    figure, ax = plt.subplots(figsize=(8, 0.42 * len(rows) + 1.2), layout="constrained")
    ax.barh(y - 0.2, [r["train_ratio"] for r in rows], 0.38, label="training", color="#d1495b")
    ax.barh(y + 0.2, [r["infer_ratio"] for r in rows], 0.38, label="inference", color="#00798c")
    ax.axvline(1, color="#222222", lw=0.8)
    ax.set(yticks=y, yticklabels=names, xlabel="PyTorch's time / ours (above 1: we are ahead)")
    ax.invert_yaxis()
    ax.legend(frameon=False)
    figure.savefig(path, dpi=130)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="PNG")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        raise SystemExit(
            "this benchmark compares with PyTorch: pip install -e '.[bench]'"
        ) from None
    from numlstm.kernels._threads import thread_limit

    torch.set_num_threads(arguments.threads)
    limit = peak(arguments.threads)
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, torch "
          f"{torch.__version__}; register-tile peak {limit:.0f} GFLOP/s")  # fmt: skip
    print(f"{'B x T x D x H':<26}{'train ms':>9}{'torch':>9}{'ratio':>7}{'peak':>6}"
          f"{'infer ms':>10}{'torch':>9}{'ratio':>7}{'peak':>6}")  # fmt: skip
    rows = []
    with thread_limit(arguments.threads):
        for *shape, options in SHAPES:
            row = measure(*shape, options, arguments.seconds)
            rows.append(row)
            name = " x ".join(map(str, shape)) + "".join(
                f" {k[:2]}{int(v)}" for k, v in options.items()
            )
            print(
                f"{name:<26}{row['train_ms']:>9.2f}{row['train_torch_ms']:>9.2f}"
                f"{row['train_ratio']:>7.2f}{row['train_gflops'] / limit:>6.0%}"
                f"{row['infer_ms']:>10.2f}{row['infer_torch_ms']:>9.2f}"
                f"{row['infer_ratio']:>7.2f}{row['infer_gflops'] / limit:>6.0%}", flush=True,
            )  # fmt: skip
    for key in ("train_ratio", "infer_ratio"):
        print(f"geometric mean of {key}: {np.exp(np.mean([np.log(r[key]) for r in rows])):.2f}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(
                {"threads": arguments.threads, "peak_gflops": limit, "rows": rows}, file, indent=1
            )
    if arguments.plot:
        draw(rows, arguments.plot)


if __name__ == "__main__":
    main()
