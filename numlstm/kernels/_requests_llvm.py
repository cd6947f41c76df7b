"""Requests for lines of memory that will be needed soon, written for LLVM."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numlstm.kernels._simd_llvm import INT32, element_pointer


def request_line(builder, pointer, *, write=False, near=3):
    """Emit a request for the line of memory at an address, for the cache `near`: 3 L1, 2 L2."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT32, INT32, INT32])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    data = 1
    hints = [ir.Constant(INT32, hint) for hint in (int(write), near, data)]
    builder.call(prefetch, [builder.bitcast(pointer, byte), *hints])


def make_request(**kind):
    """Return an intrinsic that requests the line of memory of an element; see `request_line`."""

    @intrinsic
    def request_element(typingctx, array, position):
        def codegen(context, builder, sig, args):
            place = element_pointer(context, builder, sig.args[0], *args)
            request_line(builder, place, **kind)
            return context.get_dummy_value()

        return types.void(array, types.int64), codegen

    return request_element


request, request_write = make_request(near=2), make_request(write=True)
