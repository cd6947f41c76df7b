"""Arrays as vectors: products take flat ones, with positions and strides."""

from numba import config, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def flattened(array):
    """Return a C-contiguous array as a vector."""
    return array.reshape(-1)


if not config.DISABLE_JIT:

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
            return seen._getvalue()

        return vector(array), codegen
