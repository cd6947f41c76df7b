"""How helpers are compiled: to LLVM's code, and no further.

A helper runs only inside kernels, into which its code is linked, to be optimised there. Numba would
also optimise each one by itself, over again at every level of helpers that call helpers, and make
machine code of it that nobody runs: a fifth of the time of a first fit with an empty cache.

`Compiler` is Numba's interface for such changes; `JITCodeLibrary` and its methods are private, the
same from 0.62 to 0.68.
"""

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class HelperLibrary(JITCodeLibrary):
    """The code of one helper and of those that it calls, ready to be linked into others."""

    def _optimize_final_module(self):
        """Leave that to the kernel, where functions are inlined."""

    def _finalize_final_module(self):
        """Make no machine code."""
        self._finalized = True


class HelperCompiler(Compiler):
    """Compiles a function that only compiled functions call."""

    def __init__(self, typing_context, target, library, *rest):
        super().__init__(typing_context, target, library, *rest)
        own = self.state.targetctx  # a copy of the target, for this compilation alone
        self.state.library = HelperLibrary(own.codegen(), "helper")
        own.get_executable = nothing_to_run


def nothing_to_run(library, description, environment):
    """Return the object by which Numba finds the helper when another function calls it."""
    module, name = description.lookup_module(), description.qualname.split(".")[-1]
    return _dynfunc.make_function(module, name, "a helper", 0, environment, (library,))
