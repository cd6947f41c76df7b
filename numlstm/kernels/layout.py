"""Moves between the batch-first arrays of users and the time-major arrays of the kernels."""

from numlstm.kernels._flat import flattened
from numlstm.kernels._jit import kernel
from numlstm.kernels.simd import lanes, never_inline
from numlstm.kernels.vectors import copy_vectors


@kernel
def gather_sequences(X, order, active, out):
    """out[t, r] = X[order[r], t] for the active rows. X (N, T, D), out (T, B, D)."""
    T, B, D = out.shape
    for r in range(B):
        n = order[r]
        for t in range(T):
            if r < active[t]:
                for j in range(D):
                    out[t, r, j] = X[n, t, j]


@kernel
def scatter_sequences(rows, order, active, X):
    """X[order[r], t] = rows[t, r, :D], and 0 past a row's end. rows (T, B, >= D), X (N, T, D)."""
    T, B, _ = rows.shape
    D = X.shape[2]
    for r in range(B):
        n = order[r]
        for t in range(T):
            here = r < active[t]
            for j in range(D):
                X[n, t, j] = rows[t, r, j] if here else 0.0


@kernel
def transpose_panels_chunk(panels, first, count, out, worker, n_workers):
    """Write rows first .. first + count of packed weights as the panels of their transpose.

    panels (P, G, K, wide) or, for a dense layer, (Q, 1, K, wide); out (ceil(count / wide), P * G *
    wide, wide), padded with zeros. Block by block, each of wide x wide.
    """
    never_inline()
    P, G, K, _ = panels.shape
    wide = 2 * lanes(panels)  # known to the compiler, unlike a shape: a third of the time
    source, target = flattened(panels), flattened(out)
    for u in range(worker, out.shape[0] * P, n_workers):
        q, p = u // P, u % P
        rows = min(wide, count - q * wide)
        for g in range(G):
            a = ((p * G + g) * K + first + q * wide) * wide
            b = (q * P * G + p * G + g) * wide * wide
            if rows == wide:
                for col in range(wide):
                    for j in range(wide):
                        target[b + col * wide + j] = source[a + j * wide + col]
                continue
            for col in range(wide):
                for j in range(wide):
                    inside = j < rows
                    target[b + col * wide + j] = source[a + j * wide + col] if inside else 0.0


@kernel
def unpack_panels_chunk(panels, rows, worker, n_workers):
    """Write its share of panels (P, 2, K, 2 * VL) as weights (K, 4H) with gates i, f, g, o."""
    never_inline()
    P, _, K, wide = panels.shape
    VL, H = wide // 2, rows.shape[1] // 4
    flat, out = flattened(panels), flattened(rows)
    for k in range(K * worker // n_workers, K * (worker + 1) // n_workers):
        for gate in range(4):
            for p in range(P):
                source = ((2 * p + gate // 2) * K + k) * wide + gate % 2 * VL
                target = (4 * k + gate) * H + p * VL
                copy_vectors(flat, source, out, target, min(VL, H - p * VL))


@kernel
def gather_rows_chunk(values, starts, active, out, worker, n_workers):
    """out[t, r] = values[starts[r] + t] for the active rows r of a worker's share.

    values (n, D), out (T, B, D).
    """
    never_inline()
    T, B, D = out.shape
    for r in range(B * worker // n_workers, B * (worker + 1) // n_workers):
        for t in range(T):
            if r < active[t]:
                for j in range(D):
                    out[t, r, j] = values[starts[r] + t, j]
