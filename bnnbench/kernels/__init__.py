"""One-pass CPU loops for what torch does in many: counter-based normals, Langevin updates, layers' elementwise work.

A Langevin step has few operations per weight, and each of torch's reads and writes all weights; its normals come from a
serial generator that takes longer than the rest of the step. Here one loop, compiled by numba, draws the noise and
makes the update. The plain formulas stand in `bnnbench.samplers`, `bnnbench.layers` and `bnnbench.kernels.plain`: they
are the definition, and what runs on a GPU, in other precisions, and where numba does not work.

    threefry.py    random words from a key and a counter, and standard normals from the words
    arithmetic.py  exponential, logarithm, sine and cosine that vectorise
    addresses.py   arrays at an address, in place of tensors
    normals.py     loops that fill arrays
    fill.py        arrays filled by these loops, or without them
    keys.py        keys of streams
    team.py        pieces of a loop, shared among torch's threads
    langevin.py    loops that make a step
    layers.py      loops over the weights and pre-activations of stochastic layers, forward and backward
    plain.py       the same words and normals in numpy
    compiler.py    how they are compiled, and where the compiled code is kept
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from types import ModuleType

ENVIRONMENT = "BNNBENCH_KERNELS"  # off: the plain formulas alone


@functools.cache
def loops(name: str) -> ModuleType | None:
    """Return the module of compiled loops called `name`, or None where they cannot be had; that is said once.

    It is tried out first: its loops compile, and its random words are those of the plain formula.
    """
    if os.environ.get(ENVIRONMENT, "").lower() in ("off", "0", "false"):
        return None
    try:
        module = importlib.import_module(f"bnnbench.kernels.{name}")
        _try_out()
    except Exception as error:
        _tell(error)
        return None
    return module


@functools.cache
def _try_out() -> None:
    import numpy as np

    from bnnbench.kernels import normals, plain

    words = np.empty(5, np.uint32)
    normals.fill_words(words, *(np.uint32(c) for c in (1, 2, 3)))
    if not np.array_equal(words, plain.words(5, (1, 2), 3)):
        raise RuntimeError(f"random words {words.tolist()} are not those of Threefry")


_told: list[str] = []


def _tell(error: Exception) -> None:
    if not _told:
        _told.append(f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:200])
        print(f"note: no compiled loops ({_told[0]}): steps take longer", file=sys.stderr, flush=True)
