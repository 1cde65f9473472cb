"""Loops that fill arrays with random words, normals and masks.

The n numbers of a tensor come in pairs: with m = ⌈n/2⌉, counter j < m gives elements j and j + m. The last pair of an
odd n gives one.
"""

from __future__ import annotations

from numba import float32, uint32

from bnnbench.kernels.compiler import loop
from bnnbench.kernels.threefry import threefry, two_normals


@loop
def fill_words(out, k0, k1, step):
    """Fill uint32 `out` with random words."""
    n = out.shape[0]
    m = (n + 1) // 2
    upper = out[m:]
    for j in range(n - m):
        out[j], upper[j] = threefry(k0, k1, uint32(j), step)
    if m > n - m:
        out[m - 1] = threefry(k0, k1, uint32(m - 1), step)[0]


@loop
def fill_normals(out, k0, k1, step):
    """Fill float32 `out` with standard normals."""
    n = out.shape[0]
    m = (n + 1) // 2
    upper = out[m:]
    for j in range(n - m):
        a, b = threefry(k0, k1, uint32(j), step)
        out[j], upper[j] = two_normals(a, b)
    if m > n - m:
        a, b = threefry(k0, k1, uint32(m - 1), step)
        out[m - 1] = two_normals(a, b)[0]


@loop
def fill_retained(out, k0, k1, step, last, scale):
    """Fill float32 `out` with `scale` where the random word is at most `last`, elsewhere with 0."""
    n = out.shape[0]
    m = (n + 1) // 2
    upper = out[m:]
    for j in range(n - m):
        a, b = threefry(k0, k1, uint32(j), step)
        out[j] = scale if a <= last else float32(0)
        upper[j] = scale if b <= last else float32(0)
    if m > n - m:
        a, b = threefry(k0, k1, uint32(m - 1), step)
        out[m - 1] = scale if a <= last else float32(0)
