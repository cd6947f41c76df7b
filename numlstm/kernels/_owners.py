"""Arrays without an owner, whose references Numba does not count.

A count is an atomic operation at every call of a helper with an array: 5 ns in a loop of one
thread, and up to half a microsecond where two change it in turns. Whoever calls the kernel keeps
the arrays alive.
"""

from llvmlite import ir
from numba import config, types
from numba.core.datamodel import default_manager
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def without_owner(builder, kind, value):
    """Return an argument, an array or a tuple of any depth, whose arrays belong to nobody."""
    if isinstance(kind, types.Array):
        place = default_manager.lookup(kind).get_field_position("meminfo")
        nobody = ir.Constant(value.type.elements[place], None)
        return builder.insert_value(value, nobody, place)
    if isinstance(kind, types.BaseTuple):
        for k, inner in enumerate(kind):
            part = without_owner(builder, inner, builder.extract_value(value, k))
            value = builder.insert_value(value, part, k)
    return value


def borrow(arguments):
    """Return a tuple of arguments whose arrays belong to nobody."""
    return arguments


def flattened(array):
    """Return a C-contiguous array as a vector."""
    return array.reshape(-1)


if not config.DISABLE_JIT:

    @intrinsic
    def borrow(typingctx, arguments):
        """Return a tuple of arguments whose arrays belong to nobody."""

        def codegen(context, builder, sig, args):
            return without_owner(builder, sig.args[0], args[0])

        return arguments(arguments), codegen

    @intrinsic
    def flattened(typingctx, array):
        """Return a C-contiguous array as a vector.

        Numba's own ``reshape`` takes 20 ms to compile at every place where it stands.
        """
        if not (isinstance(array, types.Array) and array.layout == "C"):
            return None
        vector = types.Array(array.dtype, 1, "C", not array.mutable, aligned=array.aligned)

        def codegen(context, builder, sig, args):
            given = context.make_array(sig.args[0])(context, builder, args[0])
            seen = context.make_array(vector)(context, builder)
            populate_array(
                seen, given.data, [given.nitems], [given.itemsize], given.itemsize, given.meminfo
            )
            return impl_ret_borrowed(context, builder, vector, seen._getvalue())

        return vector(array), codegen
