"""The register-tile products, written for LLVM."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numlstm.kernels._simd_llvm import (
    INT32,
    INT64,
    declare,
    element_pointer,
    llvm_vector,
    load_vector,
    repeat_scalar,
    request_line,
    store_vector,
)


def aligned_loop(module):
    """Return metadata that has LLVM begin a loop at a line of the cache."""
    align = module.add_metadata(["llvm.loop.align", ir.Constant(INT32, 64)])
    loop = module.add_metadata([align, ir.Constant(INT32, len(module.metadata))])
    loop.operands = (loop, align)
    return loop


class Tile:
    """Emits the inner product of one register tile: rows x (halves * 2) vectors of accumulators."""

    def __init__(self, builder, vector, rows, halves):
        self.builder, self.vector, self.rows = builder, vector, rows
        self.cells = [(r, v) for r in range(rows) for v in range(2 * halves)]
        self.fma = declare(builder, "llvm.fma", vector, 3)

    def number(self, value):
        return ir.Constant(INT64, value)

    def places(self, base, row, four=None):
        """Return a pointer for each cell.

        Vectors lie side by side; with `four`, by fours, which are so many elements apart.
        """
        b = self.builder
        four = self.number(4 * self.vector.count) if four is None else four

        def place(r, v):
            offset = b.add(b.mul(self.number(r), row), b.mul(self.number(v // 4), four))
            return b.gep(base, [b.add(offset, self.number(v % 4 * self.vector.count))])

        return {cell: place(*cell) for cell in self.cells}

    def load(self, places):
        return {cell: load_vector(self.builder, places[cell], self.vector) for cell in self.cells}

    def store(self, values, places):
        for cell in self.cells:
            store_vector(self.builder, values[cell], places[cell])

    def loop(self, count, values, body):
        """Emit ``for k in range(count): values = body(k, values)`` with values in registers."""
        b = self.builder
        entry = b.block
        head, done = b.append_basic_block("tile"), b.append_basic_block("tile_done")
        b.cbranch(b.icmp_signed(">", count, self.number(0)), head, done)
        b.position_at_end(head)
        k = b.phi(INT64)
        k.add_incoming(self.number(0), entry)
        inside = {cell: b.phi(self.vector) for cell in self.cells}
        after = body(k, inside)
        k_next = b.add(k, self.number(1))
        tail = b.block
        k.add_incoming(k_next, tail)
        for cell in self.cells:
            inside[cell].add_incoming(values[cell], entry)
            inside[cell].add_incoming(after[cell], tail)
        branch = b.cbranch(b.icmp_signed("<", k_next, count), head, done)
        branch.set_metadata("llvm.loop", aligned_loop(b.module))
        b.position_at_end(done)
        final = {cell: b.phi(self.vector) for cell in self.cells}
        for cell in self.cells:
            final[cell].add_incoming(values[cell], entry)
            final[cell].add_incoming(after[cell], tail)
        return final

    def product(self, values, a_base, a_row, a_k, b_base, b_k, b_half, count, ahead=None):
        """Emit values += A[rows, count] @ B[count, columns]: one step of k at a time, in order.

        `ahead`, a place in memory and a stride in bytes: at each step one line is requested there.
        """
        b = self.builder
        a_rows = [b.gep(a_base, [b.mul(self.number(r), a_row)]) for r in range(self.rows)]

        def step(k, inside):
            here = b.gep(b_base, [b.mul(k, b_k)])
            columns = self.cells[-1][1] + 1
            weights = []
            for v in range(columns):
                at = b.add(
                    b.mul(self.number(v // 2), b_half), self.number(v % 2 * self.vector.count)
                )
                weights.append(load_vector(b, b.gep(here, [at]), self.vector))
            if ahead is not None:
                request_line(b, b.gep(ahead[0], [b.mul(k, ahead[1])]), near=2)
            after = {}
            for r in range(self.rows):
                scalar = b.load(b.gep(a_rows[r], [b.mul(k, a_k)]))
                a = repeat_scalar(b, scalar, self.vector)
                for v in range(columns):
                    after[r, v] = b.call(self.fma, [a, weights[v], inside[r, v]])
            return after

        return self.loop(count, values, step)


def make_tile_pair(rows, halves):
    """Return an intrinsic: C = init + X[rows, D] @ B[:D] + S[rows, H] @ B[D:].

    One tile of pre-activations: the input and the recurrent product in one set of accumulators.
    ``init`` (with row stride 0: a bias) and ``C`` hold ``halves`` runs of two vectors side by side;
    the weights of a half are contiguous, (D + H, 2 * VL), `b_half` elements apart. Every output is
    summed in the order of k whatever the tile, so that how rows are cut into tiles, and tiles are
    spread over threads, never changes a bit.
    """

    @intrinsic
    def tile_pair(ctx, init, i, i_row, X, x, x_row, D, S, s, s_row, H, B, b, b_half, C, c, c_row):
        n = types.int64
        sig = types.void(init, n, n, X, n, n, n, S, n, n, n, B, n, n, C, n, n)

        def codegen(context, builder, sig, args):
            emit_pair(context, builder, sig, args, rows, halves, b_half=args[13])
            return context.get_dummy_value()

        return sig, codegen

    return tile_pair


def make_far_pair(rows):
    """Return an intrinsic: the pair product of one half, which also requests memory ahead.

    At each step of the sum the line at element `f` of B, plus `f_k` bytes a step, is requested.
    """

    @intrinsic
    def far_pair(ctx, init, i, i_row, X, x, x_row, D, S, s, s_row, H, B, b, f, f_k, C, c, c_row):
        n = types.int64
        sig = types.void(init, n, n, X, n, n, n, S, n, n, n, B, n, n, n, C, n, n)

        def codegen(context, builder, sig, args):
            place = element_pointer(context, builder, sig.args[11], args[11], args[13])
            byte = builder.bitcast(place, ir.IntType(8).as_pointer())
            no_half = ir.Constant(INT64, 0)
            emit_pair(context, builder, sig, args, rows, 1, no_half, ahead=(byte, args[14]))
            return context.get_dummy_value()

        return sig, codegen

    return far_pair


def emit_pair(context, builder, sig, args, rows, halves, b_half, ahead=None):
    """Emit a pair product; `args` begin with (init, i, i_row, .. B, b), and end with (C, c, c_row).

    With `ahead`, a place and a stride in bytes: see `Tile.product`.
    """

    def at(k):
        return element_pointer(context, builder, sig.args[k], args[k], args[k + 1])

    C = len(args) - 3
    i_row, x_row, D, s_row, H, c_row = (args[k] for k in (2, 5, 6, 9, 10, C + 2))
    tile = Tile(builder, llvm_vector(sig.args[C].dtype), rows, halves)
    pair, one = tile.number(2 * tile.vector.count), tile.number(1)
    values = tile.load(tile.places(at(0), i_row))
    weights = at(11)
    values = tile.product(values, at(3), x_row, one, weights, pair, b_half, D, ahead)
    weights = builder.gep(weights, [builder.mul(D, pair)])
    if ahead is not None:
        ahead = builder.gep(ahead[0], [builder.mul(D, ahead[1])]), ahead[1]
    values = tile.product(values, at(7), s_row, one, weights, pair, b_half, H, ahead)
    tile.store(values, tile.places(at(C), c_row))


def make_tile_blocks(rows, halves):
    """Return an intrinsic: C = init + sum over n of A_n[rows, K] @ B_n[K, columns].

    A_n lies `a_block` elements after A_{n-1}; B_n follows B_{n-1} directly, `b_k` elements a row.
    The columns are ``halves`` panels of two vectors, side by side in init and C; in B a panel
    follows all blocks of the one before.
    """

    @intrinsic
    def tile_blocks(
        ctx, init, i, i_row, A, a, a_row, a_k, a_block, B, b, b_k, K, n_blocks, C, c, c_row
    ):
        n = types.int64
        sig = types.void(init, n, n, A, n, n, n, n, B, n, n, n, n, C, n, n)

        def codegen(context, builder, sig, args):
            def at(k):
                return element_pointer(context, builder, sig.args[k], args[k], args[k + 1])

            i_row, a_row, a_k, a_block = (args[k] for k in (2, 5, 6, 7))
            b_k, K, n_blocks, c_row = (args[k] for k in (10, 11, 12, 15))
            tile = Tile(builder, llvm_vector(sig.args[13].dtype), rows, halves)
            a_base, b_base = at(3), at(8)
            b_block = builder.mul(K, b_k)
            b_half = builder.mul(n_blocks, b_block)

            def block(number, inside):
                a = builder.gep(a_base, [builder.mul(number, a_block)])
                b = builder.gep(b_base, [builder.mul(number, b_block)])
                return tile.product(inside, a, a_row, a_k, b, b_k, b_half, K)

            values = tile.load(tile.places(at(0), i_row))
            values = tile.loop(n_blocks, values, block)
            tile.store(values, tile.places(at(13), c_row))
            return context.get_dummy_value()

        return sig, codegen

    return tile_blocks


def make_tile_row(pairs):
    """Return an intrinsic: the product of one row with `pairs` panels of two vectors at once.

    C = init + sum over n of a_n[K] @ B_n[K, 2 * VL] in each panel. a_n lies `a_block` elements
    after a_{n-1}, B_n follows B_{n-1} directly, `b_pair` is the stride from panel to panel of B.
    Panels lie side by side in init and C by twos, then `i_four` and `c_four` elements apart.

    One row has no other rows to hide the latency of its additions; several panels do.
    """

    @intrinsic
    def tile_row(ctx, init, i, i_four, A, a, a_block, K, n_blocks, B, b, b_pair, C, c, c_four):
        n = types.int64
        sig = types.void(init, n, n, A, n, n, n, n, B, n, n, C, n, n)

        def codegen(context, builder, sig, args):
            def at(k):
                return element_pointer(context, builder, sig.args[k], args[k], args[k + 1])

            i_four, a_block, K, n_blocks, b_pair, c_four = (args[k] for k in (2, 5, 6, 7, 10, 13))
            tile = Tile(builder, llvm_vector(sig.args[11].dtype), 1, pairs)
            zero, one = tile.number(0), tile.number(1)
            wide = tile.number(2 * tile.vector.count)
            a_base, b_base = at(3), at(8)
            b_block = builder.mul(K, wide)

            def block(number, inside):
                a = builder.gep(a_base, [builder.mul(number, a_block)])
                b = builder.gep(b_base, [builder.mul(number, b_block)])
                return tile.product(inside, a, zero, one, b, wide, b_pair, K)

            values = tile.load(tile.places(at(0), zero, i_four))
            values = tile.loop(n_blocks, values, block)
            tile.store(values, tile.places(at(11), zero, c_four))
            return context.get_dummy_value()

        return sig, codegen

    return tile_row
