"""A thread leaves the core it is told to leave, and is bound to none by that."""

import os

import pytest
from numba import config

from numlstm.kernels._cores_llvm import current_core, leave_core
from numlstm.kernels._jit import kernel

pytestmark = [
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="is written for the compiler alone"),
    pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells cores"),
]


@kernel
def leave_own_core():
    """Leave the core this thread runs on; return which it was, and which it is."""
    core = current_core()
    leave_core(core)
    return core, current_core()


def test_a_thread_leaves_a_core_and_may_come_back():
    allowed = os.sched_getaffinity(0)
    before, after = zip(*(leave_own_core() for _ in range(20)), strict=True)
    assert {*before, *after} <= allowed
    if len(allowed) > 1:
        assert any(a != b for a, b in zip(before, after, strict=True))
    assert os.sched_getaffinity(0) == allowed


def test_a_thread_that_may_run_nowhere_else_stays():
    allowed = os.sched_getaffinity(0)
    core = min(allowed)
    try:
        os.sched_setaffinity(0, {core})
        assert leave_own_core() == (core, core)
        assert os.sched_getaffinity(0) == {core}
    finally:
        os.sched_setaffinity(0, allowed)
