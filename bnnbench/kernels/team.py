"""Pieces of a loop, shared among the threads that torch has already.

A pool of one's own would fight torch's for the same cores: after each parallel operation its OpenMP threads wait
actively for the next. So pieces are handed to that very pool, by the function that compilers call for ``#pragma omp
parallel``: ``GOMP_parallel`` of the OpenMP library that torch has loaded. Where torch has another one, the calling
thread does all pieces. Which thread does which is left open: each number is a function of its counter alone.

A job is words of int64: the next piece, the number of pieces, and what the loop is told.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@intrinsic
def next_piece(context: Any, job: Any) -> Any:
    """Return the next piece of the job at a pointer, and count it: no other thread gets the same."""

    def code(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        first = builder.bitcast(args[0], word.as_pointer())
        return builder.atomic_rmw("add", first, ir.Constant(word, 1), "monotonic")

    return types.int64(types.voidptr), code


def work(function: Any, job: Integers, threads: int) -> None:
    """Let the compiled `function` of a pointer do the pieces of `job`, in `threads` of torch's threads at most."""
    address = job.__array_interface__["data"][0]
    parallel = _parallel() if threads > 1 else None
    if parallel is None:
        function.ctypes(address)
    else:
        parallel(function.address, address, threads, 0)


@functools.cache
def _parallel() -> Any:
    """Return GOMP_parallel(function, data, threads, flags) of torch's OpenMP library; None if it has none."""
    place = getattr(sys.modules.get("torch"), "__file__", None)
    if place is None:
        return None
    package = Path(place).resolve().parent
    try:
        mapped = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:  # another system than Linux
        return None
    files = {words[5] for line in mapped.splitlines() if len(words := line.split(maxsplit=5)) == 6}
    found = sorted(file for file in files if "libgomp" in Path(file).name)
    own = [file for file in found if file.startswith((f"{package}/", f"{package.parent}/torch"))]
    if not own and len(found) != 1:  # of several that are not torch's, any may be another pool
        return None
    try:
        function = ctypes.CDLL((own or found)[0]).GOMP_parallel
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    function.restype = None
    return function
