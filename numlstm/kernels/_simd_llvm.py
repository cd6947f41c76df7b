"""The vector type and the register-tile products, written for LLVM."""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from numlstm.kernels._jit import VECTOR_BYTES

INT64, INT32 = ir.IntType(64), ir.IntType(32)
ARITHMETIC = {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}


class VectorType(types.Type):
    """One vector register of float32 or float64 lanes."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


def _llvm_vector(dtype):
    scalar = ir.DoubleType() if dtype == types.float64 else ir.FloatType()
    return ir.VectorType(scalar, VECTOR_BYTES * 8 // dtype.bitwidth)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _llvm_vector(fe_type.dtype))


def _constant(vector, value):
    return ir.Constant(vector, [value] * vector.count)


def _splat(builder, scalar, vector):
    undef = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undef, scalar, ir.Constant(INT32, 0))
    mask = ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, undef, mask)


def _as_vector(context, builder, value, kind, dtype):
    """Return a vector operand: a scalar is rounded to the vector's dtype and repeated."""
    if isinstance(kind, VectorType):
        return value
    scalar = context.cast(builder, value, kind, dtype)
    return _splat(builder, scalar, _llvm_vector(dtype))


def _register_arithmetic(op, name):
    @infer_global(op)
    class Arithmetic(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) != 2 or not any(isinstance(a, VectorType) for a in args):
                return None
            vectors = [a for a in args if isinstance(a, VectorType)]
            if len(vectors) == 2 or all(isinstance(a, (VectorType, types.Number)) for a in args):
                return signature(vectors[0], *args)
            return None

    def lower(context, builder, sig, args):
        dtype = sig.return_type.dtype
        a, b = (_as_vector(context, builder, *p, dtype) for p in zip(args, sig.args, strict=True))
        return getattr(builder, name)(a, b)

    for left, right in (
        (VectorType, VectorType),
        (VectorType, types.Number),
        (types.Number, VectorType),
    ):
        lower_builtin(op, left, right)(lower)


for _op, _name in ARITHMETIC.items():
    _register_arithmetic(_op, _name)


def _declare(builder, name, vector, n_args):
    """Return LLVM's lane-by-lane intrinsic for this vector."""
    letter = "f64" if isinstance(vector.element, ir.DoubleType) else "f32"
    kind = ir.FunctionType(vector, [vector] * n_args)
    return cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{vector.count}{letter}")


def _pointer(context, builder, array_type, array, position):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [position])


def _item_bytes(vector):
    return 8 if isinstance(vector.element, ir.DoubleType) else 4


def _load(builder, pointer, vector):
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = _item_bytes(vector)
    return value


def _store(builder, value, pointer):
    done = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()))
    done.align = _item_bytes(value.type)


@intrinsic
def lanes(typingctx, array):
    """Return how many elements of the array's dtype one vector holds, a compile-time constant."""
    count = VECTOR_BYTES * 8 // array.dtype.bitwidth
    return types.int64(array), lambda context, builder, sig, args: ir.Constant(INT64, count)


@intrinsic
def is_double(typingctx, value):
    """Return whether the array or vector holds float64, a compile-time constant."""
    answer = int(value.dtype == types.float64)
    return types.boolean(value), lambda context, builder, sig, args: ir.Constant(
        ir.IntType(1), answer
    )


@intrinsic
def never_inline(typingctx):
    """Keep LLVM from copying the function in which this stands into its callers.

    A chunk copied into its parallel shell is optimised twice more: seconds of compile time.
    """

    def codegen(context, builder, sig, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def load(typingctx, array, position):
    """Return the vector at a position of a C-contiguous array."""
    sig = VectorType(array.dtype)(array, types.int64)

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], *args)
        return _load(builder, pointer, _llvm_vector(sig.args[0].dtype))

    return sig, codegen


@intrinsic
def store(typingctx, array, position, vector):
    """Write a vector to a position of a C-contiguous array."""
    sig = types.void(array, types.int64, vector)

    def codegen(context, builder, sig, args):
        _store(builder, args[2], _pointer(context, builder, sig.args[0], *args[:2]))
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def splat(typingctx, array, value):
    """Return a vector of the array's dtype with one value in every lane."""
    sig = VectorType(array.dtype)(array, value)

    def codegen(context, builder, sig, args):
        return _as_vector(context, builder, args[1], sig.args[1], sig.args[0].dtype)

    return sig, codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Return a * b + c rounded once; never reordered, unlike what ``*`` and ``+`` may become."""
    vector = next(v for v in (a, b, c) if isinstance(v, VectorType))
    sig = vector(a, b, c)

    def codegen(context, builder, sig, args):
        dtype = sig.return_type.dtype
        operands = [
            _as_vector(context, builder, *p, dtype) for p in zip(args, sig.args, strict=True)
        ]
        return builder.call(_declare(builder, "llvm.fma", _llvm_vector(dtype), 3), operands)

    return sig, codegen


@intrinsic
def clip(typingctx, x, low, high):
    """Return x limited to [low, high]; a NaN stays a NaN (the comparisons are unordered)."""
    sig = x(x, low, high)

    def codegen(context, builder, sig, args):
        dtype = sig.return_type.dtype
        x, low, high = (
            _as_vector(context, builder, *p, dtype) for p in zip(args, sig.args, strict=True)
        )
        x = builder.select(builder.fcmp_unordered("<", x, high), x, high)
        return builder.select(builder.fcmp_unordered(">", x, low), x, low)

    return sig, codegen


@intrinsic
def maximum(typingctx, a, b):
    """Return the larger value, lane by lane."""
    sig = a(a, b)

    def codegen(context, builder, sig, args):
        return builder.select(builder.fcmp_unordered(">", *args), *args)

    return sig, codegen


def _reduction(name, start):
    @intrinsic
    def reduce(typingctx, x):
        sig = x.dtype(x)

        def codegen(context, builder, sig, args):
            vector = _llvm_vector(sig.args[0].dtype)
            letter = "f64" if isinstance(vector.element, ir.DoubleType) else "f32"
            first = [] if start is None else [ir.Constant(vector.element, start)]
            kinds = [vector.element] * len(first) + [vector]
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector.element, kinds),
                f"llvm.vector.reduce.{name}.v{vector.count}{letter}",
            )
            return builder.call(function, [*first, *args])

        return sig, codegen

    return reduce


reduce_add = _reduction("fadd", 0.0)
reduce_max = _reduction("fmax", None)


@intrinsic
def round_half_even(typingctx, x):
    """Return the nearest whole numbers, as floats."""
    sig = x(x)

    def codegen(context, builder, sig, args):
        vector = _llvm_vector(sig.return_type.dtype)
        return builder.call(_declare(builder, "llvm.rint", vector, 1), args)

    return sig, codegen


@intrinsic
def exp2_int(typingctx, x):
    """Return 2**x for a vector of whole numbers, by writing the exponent bits."""
    sig = x(x)

    def codegen(context, builder, sig, args):
        vector = _llvm_vector(sig.return_type.dtype)
        wide = isinstance(vector.element, ir.DoubleType)
        ints = ir.VectorType(INT64 if wide else INT32, vector.count)
        # Through 32 bits: AVX2 has no conversion from double to 64-bit integers.
        n = builder.fptosi(args[0], ir.VectorType(INT32, vector.count))
        n = builder.sext(n, ints) if wide else n
        n = builder.add(n, _constant(ints, 1023 if wide else 127))
        return builder.bitcast(builder.shl(n, _constant(ints, 52 if wide else 23)), vector)

    return sig, codegen


class _Tile:
    """Emits the inner product of one register tile: rows x (halves * 2) vectors of accumulators."""

    def __init__(self, builder, vector, rows, halves):
        self.builder, self.vector, self.rows = builder, vector, rows
        self.cells = [(r, v) for r in range(rows) for v in range(2 * halves)]
        self.fma = _declare(builder, "llvm.fma", vector, 3)

    def number(self, value):
        return ir.Constant(INT64, value)

    def places(self, base, row, half):
        """Return a pointer for each cell; `half` is the stride between pairs of vectors."""
        b = self.builder

        def place(r, v):
            offset = b.mul(self.number(r), row)
            offset = b.add(offset, b.mul(self.number(v // 2), half))
            return b.gep(base, [b.add(offset, self.number(v % 2 * self.vector.count))])

        return {cell: place(*cell) for cell in self.cells}

    def load(self, places):
        return {cell: _load(self.builder, places[cell], self.vector) for cell in self.cells}

    def store(self, values, places):
        for cell in self.cells:
            _store(self.builder, values[cell], places[cell])

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
        b.cbranch(b.icmp_signed("<", k_next, count), head, done)
        b.position_at_end(done)
        final = {cell: b.phi(self.vector) for cell in self.cells}
        for cell in self.cells:
            final[cell].add_incoming(values[cell], entry)
            final[cell].add_incoming(after[cell], tail)
        return final

    def product(self, values, a_base, a_row, a_k, b_base, b_k, b_half, count):
        """Emit values += A[rows, count] @ B[count, columns]: one step of k at a time, in order."""
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
                weights.append(_load(b, b.gep(here, [at]), self.vector))
            after = {}
            for r in range(self.rows):
                scalar = b.load(b.gep(a_rows[r], [b.mul(k, a_k)]))
                a = _splat(b, scalar, self.vector)
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
            def at(k):
                return _pointer(context, builder, sig.args[k], args[k], args[k + 1])

            i_row, x_row, D, s_row, H, b_half, c_row = (args[k] for k in (2, 5, 6, 9, 10, 13, 16))
            tile = _Tile(builder, _llvm_vector(sig.args[14].dtype), rows, halves)
            pair = tile.number(2 * tile.vector.count)
            one = tile.number(1)
            values = tile.load(tile.places(at(0), i_row, pair))
            weights = at(11)
            values = tile.product(values, at(3), x_row, one, weights, pair, b_half, D)
            weights = builder.gep(weights, [builder.mul(D, pair)])
            values = tile.product(values, at(7), s_row, one, weights, pair, b_half, H)
            tile.store(values, tile.places(at(14), c_row, pair))
            return context.get_dummy_value()

        return sig, codegen

    return tile_pair


def make_tile_blocks(rows, halves):
    """Return an intrinsic: C = init + sum over n of A_n[rows, K] @ B_n[K, columns].

    A_n lies `a_block` elements after A_{n-1}; B_n follows B_{n-1} directly, `b_k` elements a row.
    The columns are ``halves`` runs of two vectors, side by side in init, C and B.
    """

    @intrinsic
    def tile_blocks(
        ctx, init, i, i_row, A, a, a_row, a_k, a_block, B, b, b_k, K, n_blocks, C, c, c_row
    ):
        n = types.int64
        sig = types.void(init, n, n, A, n, n, n, n, B, n, n, n, n, C, n, n)

        def codegen(context, builder, sig, args):
            def at(k):
                return _pointer(context, builder, sig.args[k], args[k], args[k + 1])

            i_row, a_row, a_k, a_block = (args[k] for k in (2, 5, 6, 7))
            b_k, K, n_blocks, c_row = (args[k] for k in (10, 11, 12, 15))
            tile = _Tile(builder, _llvm_vector(sig.args[13].dtype), rows, halves)
            pair = tile.number(2 * tile.vector.count)
            a_base, b_base = at(3), at(8)
            b_block = builder.mul(K, b_k)

            def block(number, inside):
                a = builder.gep(a_base, [builder.mul(number, a_block)])
                b = builder.gep(b_base, [builder.mul(number, b_block)])
                return tile.product(inside, a, a_row, a_k, b, b_k, pair, K)

            values = tile.load(tile.places(at(0), i_row, pair))
            values = tile.loop(n_blocks, values, block)
            tile.store(values, tile.places(at(13), c_row, pair))
            return context.get_dummy_value()

        return sig, codegen

    return tile_blocks
