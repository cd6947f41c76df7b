"""The register-tile products, written for LLVM."""

import platform

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numlstm.kernels._requests_llvm import request_line
from numlstm.kernels._simd_llvm import (
    INT32,
    INT64,
    declare,
    element_pointer,
    llvm_vector,
    load_vector,
    repeat_scalar,
    store_vector,
)

# Steps of k in one pass of a tile's loop: 2 to 5 % over two of them (Zen 3).
TOGETHER = 4
# An x86 address is a pointer plus once or twice a stride: three rows share a pointer, and no
# instruction computes an address. Elsewhere a load takes a pointer and a constant.
SHARING = 3 if platform.machine() in ("x86_64", "AMD64") else 1


def untold(builder, place):
    """Return the place itself, but such that LLVM does not know; emits no instruction.

    Else it replaces the pointers of a loop by others, from which addresses take longer to compute:
    24 instead of 21 instructions for each step of a tile of 6 x 2, which then takes 4 to 8 % longer
    where another user of the machine competes for the core (Zen 3).
    """
    kind = ir.FunctionType(place.type, [place.type])
    return builder.call(ir.InlineAsm(kind, "", "=r,0"), [place])


def aligned_loop(module):
    """Return metadata that has LLVM begin a loop at a line of the cache."""
    align = module.add_metadata(["llvm.loop.align", ir.Constant(INT32, 64)])
    loop = module.add_metadata([align, ir.Constant(INT32, len(module.metadata))])
    loop.operands = (loop, align)
    return loop


class Tile:
    """Emits the inner product of one register tile: rows x columns vectors of accumulators."""

    def __init__(self, builder, vector, rows, columns):
        self.builder, self.vector, self.rows, self.columns = builder, vector, rows, columns
        self.cells = [(r, v) for r in range(rows) for v in range(columns)]
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

    def after(self, place, step, count):
        """Return the place `count` steps later: a pointer, steps in elements, or a number."""
        b = self.builder
        distance = b.mul(step, self.number(count) if isinstance(count, int) else count)
        if isinstance(place.type, ir.PointerType):
            return b.gep(place, [distance])
        return b.add(place, distance)

    def loop(self, places, count, values, body, *, together=1, as_written=False):
        """Emit `count` times ``values = body(places, values)``, with values in registers.

        Parameters
        ----------
        places : list of (value, value)
            Where each begins and its step: see `after`. The first must move.
        count : LLVM value
            A multiple of `together`.
        values : dict
            A vector for each cell.
        body : callable
        together : int
            Passes between two jumps.
        as_written : bool
            Keep LLVM from choosing other pointers, and from unrolling.

        Returns
        -------
        places, values
            As they are in the end.
        """
        b, entry = self.builder, self.builder.block
        steps = [step for _, step in places]
        stop = self.after(*places[0], count)
        head, done = b.append_basic_block("tile"), b.append_basic_block("tile_done")
        b.cbranch(b.icmp_signed(">", count, self.number(0)), head, done)
        b.position_at_end(head)
        state = {k: place for k, (place, _) in enumerate(places)} | values
        here = {key: b.phi(value.type) for key, value in state.items()}
        known = [untold(b, here[k]) if as_written else here[k] for k in range(len(places))]
        inside = {cell: here[cell] for cell in self.cells}

        def later(count):
            return [
                self.after(place, step, count) for place, step in zip(known, steps, strict=True)
            ]

        for number in range(together):
            inside = body(later(number), inside)
        following = dict(enumerate(later(together))) | inside
        tail = b.block
        branch = b.cbranch(b.icmp_unsigned("!=", following[0], stop), head, done)
        branch.set_metadata("llvm.loop", aligned_loop(b.module))
        b.position_at_end(done)
        final = {key: b.phi(value.type) for key, value in state.items()}
        for key, value in state.items():
            for phi in here[key], final[key]:
                phi.add_incoming(value, entry)
                phi.add_incoming(following[key], tail)
        ends = [(final[k], step) for k, step in enumerate(steps)]
        return ends, {cell: final[cell] for cell in self.cells}

    def product(self, values, a_base, a_row, a_k, b_base, b_k, b_half, count, ahead=None):
        """Emit values += A[rows, count] @ B[count, columns]: one step of k at a time, in order.

        `ahead`, a place in memory and a stride in bytes: at each step one line is requested there.
        """
        b = self.builder
        columns = self.columns

        def shared(base, number, stride):
            firsts = range(0, number, SHARING)
            return [b.gep(base, [b.mul(self.number(first), stride)]) for first in firsts]

        weights, rows = shared(b_base, -(-columns // 2), b_half), shared(a_base, self.rows, a_row)
        places = [(place, b_k) for place in weights] + [(place, a_k) for place in rows]
        if ahead is not None:
            places.append(ahead)

        def address(pointers, number, stride):
            group, place = divmod(number, SHARING)
            return b.gep(pointers[group], [b.mul(self.number(place), stride)])

        def step(here, inside):
            vectors = []
            for v in range(columns):
                at = address(here, v // 2, b_half)
                at = b.gep(at, [self.number(v % 2 * self.vector.count)])
                vectors.append(load_vector(b, at, self.vector))
            if ahead is not None:
                request_line(b, here[-1], near=2)
            after = {}
            for r in range(self.rows):
                scalar = b.load(address(here[len(weights) :], r, a_row))
                a = repeat_scalar(b, scalar, self.vector)
                for v in range(columns):
                    after[r, v] = b.call(self.fma, [a, vectors[v], inside[r, v]])
            return after

        if self.rows == 1:  # has few addresses to compute
            return self.loop(places, count, values, step)[1]
        rest = b.and_(count, self.number(TOGETHER - 1))
        most = b.sub(count, rest)
        places, values = self.loop(places, most, values, step, together=TOGETHER, as_written=True)
        return self.loop(places, rest, values, step, as_written=True)[1]


def make_tile_pair(rows, columns):
    """Return an intrinsic: C = init + X[rows, D] @ B[:D] + S[rows, H] @ B[D:].

    One tile of pre-activations: the input and the recurrent product in one set of accumulators.
    ``init`` (with row stride 0: a bias) and ``C`` hold so many vectors side by side: 4, 2 or 1. The
    weights of two are contiguous, (D + H, 2 * VL), and `b_half` elements apart. Every output is
    summed in the order of k whatever the tile, so that how rows are cut into tiles, and tiles are
    spread over threads, never changes a bit.
    """

    @intrinsic
    def tile_pair(ctx, init, i, i_row, X, x, x_row, D, S, s, s_row, H, B, b, b_half, C, c, c_row):
        n = types.int64
        sig = types.void(init, n, n, X, n, n, n, S, n, n, n, B, n, n, C, n, n)

        def codegen(context, builder, sig, args):
            emit_pair(context, builder, sig, args, rows, columns, b_half=args[13])
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
            byte = first_byte(context, builder, sig.args[11], args[11], args[13])
            no_half = ir.Constant(INT64, 0)
            emit_pair(context, builder, sig, args, rows, 2, no_half, ahead=(byte, args[14]))
            return context.get_dummy_value()

        return sig, codegen

    return far_pair


def emit_pair(context, builder, sig, args, rows, columns, b_half, ahead=None):
    """Emit a pair product; `args` begin with (init, i, i_row, .. B, b), and end with (C, c, c_row).

    With `ahead`, a place and a stride in bytes: see `Tile.product`.
    """

    def at(k):
        return element_pointer(context, builder, sig.args[k], args[k], args[k + 1])

    C = len(args) - 3
    i_row, x_row, D, s_row, H, c_row = (args[k] for k in (2, 5, 6, 9, 10, C + 2))
    tile = Tile(builder, llvm_vector(sig.args[C].dtype), rows, columns)
    pair, one = tile.number(min(columns, 2) * tile.vector.count), tile.number(1)
    x, s = at(3), at(7)
    places = [(tile.number(0), one), (at(11), builder.mul(D, pair))]
    if ahead is not None:
        places.append((ahead[0], builder.mul(D, ahead[1])))

    def part(here, inside):
        second = builder.icmp_signed("!=", here[0], tile.number(0))
        a, a_row, count = (builder.select(second, *two) for two in ((s, x), (s_row, x_row), (H, D)))
        request = None if ahead is None else (here[2], ahead[1])
        return tile.product(inside, a, a_row, one, here[1], pair, b_half, count, request)

    values = tile.load(tile.places(at(0), i_row))
    values = tile.loop(places, tile.number(2), values, part, as_written=True)[1]
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
            emit_blocks(context, builder, sig, args, rows, halves)
            return context.get_dummy_value()

        return sig, codegen

    return tile_blocks


def make_far_blocks(rows):
    """Return an intrinsic: the block product of one panel, which also requests memory ahead.

    At each step of the sum the line at element `f` of B, plus `f_k` bytes a step, is requested.
    """

    @intrinsic
    def far_blocks(
        ctx, init, i, i_row, A, a, a_row, a_k, a_block, B, b, b_k, K, n_blocks, f, f_k, C, c, c_row
    ):
        n = types.int64
        sig = types.void(init, n, n, A, n, n, n, n, B, n, n, n, n, n, n, C, n, n)

        def codegen(context, builder, sig, args):
            byte = first_byte(context, builder, sig.args[8], args[8], args[13])
            emit_blocks(context, builder, sig, args, rows, 1, ahead=(byte, args[14]))
            return context.get_dummy_value()

        return sig, codegen

    return far_blocks


def first_byte(context, builder, kind, array, index):
    """Return a pointer to bytes, at an element of an array."""
    place = element_pointer(context, builder, kind, array, index)
    return builder.bitcast(place, ir.IntType(8).as_pointer())


def emit_blocks(context, builder, sig, args, rows, halves, ahead=None):
    """Emit a block product; `args` begin with (init, i, .. n_blocks), and end with (C, c, c_row).

    With `ahead`, a place and a stride in bytes: see `Tile.product`.
    """

    def at(k):
        return element_pointer(context, builder, sig.args[k], args[k], args[k + 1])

    C = len(args) - 3
    i_row, a_row, a_k, a_block = (args[k] for k in (2, 5, 6, 7))
    b_k, K, n_blocks, c_row = (args[k] for k in (10, 11, 12, C + 2))
    tile = Tile(builder, llvm_vector(sig.args[C].dtype), rows, 2 * halves)
    b_block = builder.mul(K, b_k)
    b_half = builder.mul(n_blocks, b_block)
    places = [(tile.number(0), tile.number(1)), (at(3), a_block), (at(8), b_block)]
    if ahead is not None:
        places.append((ahead[0], builder.mul(K, ahead[1])))

    def block(here, inside):
        request = None if ahead is None else (here[3], ahead[1])
        return tile.product(inside, here[1], a_row, a_k, here[2], b_k, b_half, K, request)

    values = tile.load(tile.places(at(0), i_row))
    values = tile.loop(places, n_blocks, values, block)[1]
    tile.store(values, tile.places(at(C), c_row))


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
            tile = Tile(builder, llvm_vector(sig.args[11].dtype), 1, 2 * pairs)
            zero, one = tile.number(0), tile.number(1)
            wide = tile.number(2 * tile.vector.count)
            b_block = builder.mul(K, wide)

            def block(here, inside):
                return tile.product(inside, here[1], zero, one, here[2], wide, b_pair, K)

            values = tile.load(tile.places(at(0), zero, i_four))
            blocks = [(zero, one), (at(3), a_block), (at(8), b_block)]
            values = tile.loop(blocks, n_blocks, values, block)[1]
            tile.store(values, tile.places(at(11), zero, c_four))
            return context.get_dummy_value()

        return sig, codegen

    return tile_row
