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


@kernel
def pack_panels(rows, panels):
    """Write weights (K, 4H), gates i, f, g, o, as panels (P, 2, K, 2 * VL) padded with zeros."""
    P, _, K, wide = panels.shape
    VL, H = wide // 2, rows.shape[1] // 4
    for p in range(P):
        for gate in range(4):
            for k in range(K):
                for j in range(VL):
                    unit = p * VL + j
                    value = rows[k, gate * H + unit] if unit < H else 0.0
                    panels[p, gate // 2, k, gate % 2 * VL + j] = value


@kernel
def unpack_panels(panels, rows):
    """Write panels (P, 2, K, 2 * VL) as weights (K, 4H) with gates i, f, g, o."""
    P, _, K, wide = panels.shape
    VL, H = wide // 2, rows.shape[1] // 4
    for k in range(K):
        for gate in range(4):
            for p in range(P):
                for j in range(min(VL, H - p * VL)):
                    value = panels[p, gate // 2, k, gate % 2 * VL + j]
                    rows[k, gate * H + p * VL + j] = value


@kernel
def gather_rows(values, starts, active, out):
    """out[t, r] = values[starts[r] + t] for the active rows. values (n, D), out (T, B, D)."""
    T, B, D = out.shape
    for r in range(B):
        for t in range(T):
            if r < active[t]:
                for j in range(D):
                    out[t, r, j] = values[starts[r] + t, j]
