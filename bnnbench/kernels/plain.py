"""The random words and normals of `bnnbench.kernels.threefry` in numpy: their definition, and their stand-in.

Words are the same to the bit. Normals are computed in double precision and rounded; those of the loops differ from them
by some units of the last place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Floats = NDArray[np.float32]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def threefry(key: tuple[int, int], c0: Words, c1: int) -> tuple[Words, Words]:
    """Return two random words for every counter (c0, c1): Threefry-2x32-20 (Salmon et al. 2011, section 3.2).

    Args:
        key: two words of 32 bits.
        c0: first words of the counters, [m].
        c1: second word of all of them.
    """
    k = (np.uint32(key[0]), np.uint32(key[1]), np.uint32(key[0]) ^ np.uint32(key[1]) ^ PARITY)
    with np.errstate(over="ignore"):
        a, b = c0 + k[0], np.full_like(c0, c1) + k[1]
        for group in range(5):
            for r in ROTATIONS[group % 2]:
                a = a + b
                b = ((b << np.uint32(r)) | (b >> np.uint32(32 - r))) ^ a
            a = a + k[(group + 1) % 3]
            b = b + (k[(group + 2) % 3] + np.uint32(group + 1))
    return a, b


def words(size: int, key: tuple[int, int], step: int) -> Words:
    """Return `size` random words of a key and step."""
    half = (size + 1) // 2
    return np.concatenate(threefry(key, np.arange(half, dtype=np.uint32), step))[:size]


def normals(size: int, key: tuple[int, int], step: int) -> Floats:
    """Return `size` standard normals of a key and step: √(−2 ln u) cos 2πv and √(−2 ln u) sin 2πv."""
    half = (size + 1) // 2
    a, b = threefry(key, np.arange(half, dtype=np.uint32), step)
    radius = np.sqrt(-2 * np.log((a + 0.5) / 2.0**32))
    angle = 2 * np.pi * (b / 2.0**32)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size].astype(np.float32)
