"""The vector type and its operations, written for LLVM."""

import operator
import platform

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


def llvm_vector(dtype):
    """Return the LLVM type of a vector of float32 or float64."""
    scalar = ir.DoubleType() if dtype == types.float64 else ir.FloatType()
    return ir.VectorType(scalar, VECTOR_BYTES * 8 // dtype.bitwidth)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, llvm_vector(fe_type.dtype))


def constant(vector, value):
    """Return a vector constant with one value in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def repeat_scalar(builder, scalar, vector):
    """Emit a vector with one scalar in every lane."""
    undef = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undef, scalar, ir.Constant(INT32, 0))
    mask = ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, undef, mask)


def as_vector(context, builder, value, kind, dtype):
    """Return a vector operand: a scalar is rounded to the vector's dtype and repeated."""
    if isinstance(kind, VectorType):
        return value
    scalar = context.cast(builder, value, kind, dtype)
    return repeat_scalar(builder, scalar, llvm_vector(dtype))


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
        a, b = (as_vector(context, builder, *p, dtype) for p in zip(args, sig.args, strict=True))
        return getattr(builder, name)(a, b)

    for left, right in (
        (VectorType, VectorType),
        (VectorType, types.Number),
        (types.Number, VectorType),
    ):
        lower_builtin(op, left, right)(lower)


for _op, _name in ARITHMETIC.items():
    _register_arithmetic(_op, _name)


def declare(builder, name, vector, n_args):
    """Return LLVM's lane-by-lane intrinsic for this vector."""
    letter = "f64" if isinstance(vector.element, ir.DoubleType) else "f32"
    kind = ir.FunctionType(vector, [vector] * n_args)
    return cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{vector.count}{letter}")


def element_pointer(context, builder, array_type, array, position):
    """Emit the address of an array's element."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [position])


def _item_bytes(vector):
    return 8 if isinstance(vector.element, ir.DoubleType) else 4


def load_vector(builder, pointer, vector):
    """Emit a load that needs no alignment beyond an element."""
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = _item_bytes(vector)
    return value


def store_vector(builder, value, pointer):
    """Emit a store that needs no alignment beyond an element."""
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


def _control_word(builder, name, slot):
    """Emit a read ("stmxcsr") or write ("ldmxcsr") of the SSE control word, through memory."""
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(slot, pointer)])


ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
FLUSH = 0x8040  # flush to zero, and denormals are zero


@intrinsic
def flush_denormals(typingctx):
    """Have this thread take denormal numbers for 0, where it is x86; return what was before.

    Arithmetic with them is slow, up to twenty times (oneDNN#561).
    """

    def codegen(context, builder, sig, args):
        if not ON_X86:
            return ir.Constant(INT32, 0)
        slot = cgutils.alloca_once(builder, INT32)
        _control_word(builder, "stmxcsr", slot)
        before = builder.load(slot)
        builder.store(builder.or_(before, ir.Constant(INT32, FLUSH)), slot)
        _control_word(builder, "ldmxcsr", slot)
        return before

    return types.int32(), codegen


@intrinsic
def restore_denormals(typingctx, before):
    """Undo `flush_denormals`, which returned `before`."""

    def codegen(context, builder, sig, args):
        if ON_X86:
            _control_word(builder, "ldmxcsr", cgutils.alloca_once_value(builder, args[0]))
        return context.get_dummy_value()

    return types.void(types.int32), codegen


@intrinsic
def load(typingctx, array, position):
    """Return the vector at a position of a C-contiguous array."""
    sig = VectorType(array.dtype)(array, types.int64)

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, sig.args[0], *args)
        return load_vector(builder, pointer, llvm_vector(sig.args[0].dtype))

    return sig, codegen


@intrinsic
def store(typingctx, array, position, vector):
    """Write a vector to a position of a C-contiguous array."""
    sig = types.void(array, types.int64, vector)

    def codegen(context, builder, sig, args):
        store_vector(builder, args[2], element_pointer(context, builder, sig.args[0], *args[:2]))
        return context.get_dummy_value()

    return sig, codegen


def make_copy(count):
    """Return an intrinsic that copies `count` elements at once.

    A loop cannot: the compiler must take it that each store may change what is loaded next.
    """

    @intrinsic
    def copy(typingctx, source, s, target, d):
        sig = types.void(source, types.int64, target, types.int64)

        def codegen(context, builder, sig, args):
            vector = ir.VectorType(llvm_vector(sig.args[0].dtype).element, count)
            value = load_vector(
                builder, element_pointer(context, builder, sig.args[0], *args[:2]), vector
            )
            store_vector(builder, value, element_pointer(context, builder, sig.args[2], *args[2:]))
            return context.get_dummy_value()

        return sig, codegen

    return copy


def make_quarter(number):
    """Return an intrinsic: a vector that begins with one quarter of x; its other lanes are 0."""

    @intrinsic
    def quarter(typingctx, x):
        def codegen(context, builder, sig, args):
            vector = args[0].type
            size = vector.count // 4
            taken = [number * size + k if k < size else vector.count for k in range(vector.count)]
            mask = ir.Constant(ir.VectorType(INT32, vector.count), taken)
            return builder.shuffle_vector(args[0], constant(vector, 0.0), mask)

        return x(x), codegen

    return quarter


@intrinsic
def splat(typingctx, array, value):
    """Return a vector of the array's dtype with one value in every lane."""
    sig = VectorType(array.dtype)(array, value)

    def codegen(context, builder, sig, args):
        return as_vector(context, builder, args[1], sig.args[1], sig.args[0].dtype)

    return sig, codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Return a * b + c rounded once; never reordered, unlike what ``*`` and ``+`` may become."""
    vector = next(v for v in (a, b, c) if isinstance(v, VectorType))
    sig = vector(a, b, c)

    def codegen(context, builder, sig, args):
        dtype = sig.return_type.dtype
        operands = [
            as_vector(context, builder, *p, dtype) for p in zip(args, sig.args, strict=True)
        ]
        return builder.call(declare(builder, "llvm.fma", llvm_vector(dtype), 3), operands)

    return sig, codegen


@intrinsic
def clip(typingctx, x, low, high):
    """Return x limited to [low, high]; a NaN stays a NaN (the comparisons are unordered)."""
    sig = x(x, low, high)

    def codegen(context, builder, sig, args):
        dtype = sig.return_type.dtype
        x, low, high = (
            as_vector(context, builder, *p, dtype) for p in zip(args, sig.args, strict=True)
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


@intrinsic
def sqrt(typingctx, x):
    """Return the square root, lane by lane."""
    sig = x(x)

    def codegen(context, builder, sig, args):
        return builder.call(declare(builder, "llvm.sqrt", args[0].type, 1), args)

    return sig, codegen


def _combine_halves(builder, vector, combine):
    """Emit one scalar from all lanes: halves are combined until one lane is left.

    The order is fixed, and short: a sum in lane order is a chain of 16 additions.
    """
    while vector.type.count > 1:
        half = vector.type.count // 2
        undef = ir.Constant(vector.type, ir.Undefined)
        low, high = (
            builder.shuffle_vector(
                vector, undef, ir.Constant(ir.VectorType(INT32, half), list(lanes_taken))
            )
            for lanes_taken in (range(half), range(half, 2 * half))
        )
        vector = combine(low, high)
    return builder.extract_element(vector, ir.Constant(INT32, 0))


@intrinsic
def reduce_add(typingctx, x):
    """Return the sum of the lanes."""
    sig = x.dtype(x)

    def codegen(context, builder, sig, args):
        return _combine_halves(builder, args[0], builder.fadd)

    return sig, codegen


@intrinsic
def reduce_max(typingctx, x):
    """Return the largest lane."""
    sig = x.dtype(x)

    def codegen(context, builder, sig, args):
        def larger(a, b):
            return builder.select(builder.fcmp_unordered(">", a, b), a, b)

        return _combine_halves(builder, args[0], larger)

    return sig, codegen


@intrinsic
def exponent_from_low_bits(typingctx, x):
    """Return the vector whose exponent bits are the lowest bits of x, and whose mantissa is 0."""
    sig = x(x)

    def codegen(context, builder, sig, args):
        vector = llvm_vector(sig.return_type.dtype)
        wide = isinstance(vector.element, ir.DoubleType)
        ints = ir.VectorType(INT64 if wide else INT32, vector.count)
        bits = builder.bitcast(args[0], ints)
        return builder.bitcast(builder.shl(bits, constant(ints, 52 if wide else 23)), vector)

    return sig, codegen
