"""Compiled kernels: arrays in, arrays filled in place. Knows nothing of the floors above.

Letters, as in the book: T time steps, D inputs, H hidden units. And here alone: B batch rows (N in
the book), K rows of a weight matrix, VL lanes of one vector register, W = 4 * VL columns of one
panel (the gates i, f, g, o of VL units), P panels, Hp = P * VL.
"""
