"""Which core a thread runs on, written for LLVM; Linux alone says so, and nowhere else is it done.

A thread that wakes is put where the system thinks fit, which can be the core of the thread that
woke it while another is idle: a virtual machine was seen to pack threads so for more than a second,
in which two are as slow as one. So a worker that finds itself there leaves at once. It is not bound
to its new core: nothing is left behind for the system, or for processes that are started later.
"""

import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numlstm.kernels._simd_llvm import INT32, INT64

ON_LINUX = sys.platform == "linux"
MASK = ir.ArrayType(INT64, 16)  # a bit for each core, as many as in that of the C library
N_CORES = 64 * MASK.count


def _current_core(builder):
    kind = ir.FunctionType(INT32, [])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_getcpu"), [])


def _affinity(builder, name, mask):
    """Emit a call that gets ("sched_getaffinity") or sets the cores of this thread: 0, or -1."""
    kind = ir.FunctionType(INT32, [INT32, INT64, MASK.as_pointer()])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [INT32(0), INT64(N_CORES // 8), mask])


@intrinsic
def current_core(typingctx):
    """Return the core this thread runs on, or -1."""

    def codegen(context, builder, sig, args):
        return _current_core(builder) if ON_LINUX else INT32(-1)

    return types.int32(), codegen


@intrinsic
def leave_core(typingctx, core):
    """Go to another core if this thread runs on the given one and may run elsewhere."""

    def codegen(context, builder, sig, args):
        if not ON_LINUX:
            return context.get_dummy_value()
        allowed, others = (cgutils.alloca_once(builder, MASK) for _ in range(2))
        core = args[0]
        known = builder.icmp_unsigned("<", core, INT32(N_CORES))  # -1 is not
        here = builder.icmp_signed("==", core, _current_core(builder))
        with builder.if_then(builder.and_(known, here), likely=False):
            got = _affinity(builder, "sched_getaffinity", allowed)
            with builder.if_then(builder.icmp_signed("==", got, INT32(0))):
                builder.store(builder.load(allowed), others)
                place = builder.gep(
                    others, [INT64(0), builder.zext(builder.lshr(core, INT32(6)), INT64)]
                )
                bit = builder.shl(INT64(1), builder.zext(builder.and_(core, INT32(63)), INT64))
                builder.store(builder.and_(builder.load(place), builder.not_(bit)), place)
                moved = _affinity(builder, "sched_setaffinity", others)  # refused if none is left
                with builder.if_then(builder.icmp_signed("==", moved, INT32(0))):
                    _affinity(builder, "sched_setaffinity", allowed)
        return context.get_dummy_value()

    return types.void(types.int32), codegen
