"""Moves between the batch-first arrays of users and the time-major arrays of the kernels."""

from numlstm.kernels._jit import kernel


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
def transpose_panels(panels, first, count, out):
    """Write rows first .. first + count of packed weights as the panels of their transpose.

    panels (P, G, K, wide) or, for a dense layer, (Q, 1, K, wide); out (ceil(count / wide), P * G *
    wide, wide), padded with zeros.
    """
    P, G, _, wide = panels.shape
    for q in range(out.shape[0]):
        for p in range(P):
            for g in range(G):
                for col in range(wide):
                    row = (p * G + g) * wide + col
                    for j in range(wide):
                        k = q * wide + j
                        out[q, row, j] = panels[p, g, first + k, col] if k < count else 0.0

