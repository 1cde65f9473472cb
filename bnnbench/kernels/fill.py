"""Arrays of random numbers, by the compiled loops where there are any, else by their definition in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels import loops, plain

Key = tuple[np.uint32, np.uint32]


def fill_normals(out: NDArray[np.float32], key: Key, step: np.uint32) -> None:
    """Fill `out` [n] with standard normals."""
    compiled = loops("normals")
    if compiled is None:
        out[:] = plain.normals(len(out), (int(key[0]), int(key[1])), int(step))
    else:
        compiled.fill_normals(out, *key, step)


def fill_retained(out: NDArray[np.float32], key: Key, step: np.uint32, last: np.uint32, scale: np.float32) -> None:
    """Fill `out` [n] with `scale` where the random word is at most `last`, elsewhere with 0."""
    compiled = loops("normals")
    if compiled is None:
        out[:] = (plain.words(len(out), (int(key[0]), int(key[1])), int(step)) <= last) * scale
    else:
        compiled.fill_retained(out, *key, step, last, scale)
