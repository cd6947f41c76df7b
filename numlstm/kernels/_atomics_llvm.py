"""Atomic operations on int64 arrays, for threads that meet in the middle of a kernel."""

import os
import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numlstm.kernels._requests_llvm import make_request
from numlstm.kernels._simd_llvm import INT32, INT64, element_pointer


@intrinsic
def fetch_add(typingctx, array, position, value):
    """Add to an element and return what it was."""

    def codegen(context, builder, sig, args):
        place = element_pointer(context, builder, sig.args[0], *args[:2])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(array, types.int64, types.int64), codegen


@intrinsic
def load_acquire(typingctx, array, position):
    """Return an element; what its writer wrote before is visible from now on."""

    def codegen(context, builder, sig, args):
        place = element_pointer(context, builder, sig.args[0], *args)
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(array, types.int64), codegen


@intrinsic
def store_release(typingctx, array, position, value):
    """Set an element; whoever sees it also sees what this thread wrote before."""

    def codegen(context, builder, sig, args):
        place = element_pointer(context, builder, sig.args[0], *args[:2])
        builder.store_atomic(args[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


# The line of memory of an element comes to this core, to be read or to be written.
call_line, call_line_to_write = make_request(), make_request(write=True)


@intrinsic
def swap_if_zero(typingctx, array, position, value):
    """Set an element if it is zero, as one step."""

    def codegen(context, builder, sig, args):
        place = element_pointer(context, builder, sig.args[0], *args[:2])
        builder.cmpxchg(place, ir.Constant(INT64, 0), args[2], "seq_cst", "seq_cst")
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


@intrinsic
def relax(typingctx):
    """Tell the processor that this thread waits in a loop."""

    def codegen(context, builder, sig, args):
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64", "i686"):
            kind = ir.FunctionType(ir.VoidType(), [])
            pause = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause")
            builder.call(pause, [])
        elif machine in ("aarch64", "arm64"):
            kind = ir.FunctionType(ir.VoidType(), [INT32])
            hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(hint, [ir.Constant(INT32, 1)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread have this core, where the system has a call for that."""

    def codegen(context, builder, sig, args):
        if os.name == "posix":
            kind = ir.FunctionType(INT32, [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen
