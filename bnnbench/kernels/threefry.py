"""Random numbers from a key and a counter: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror & Shaw, SC 2011).

A word is a function of its key and counter alone: any number can be computed without those before it, by any thread, in
any order, and a run goes on without the state of a generator.

    key      64 bits, derived from the seed, the chain, what the numbers are for, and the tensor
    counter  64 bits: the element (32) and the step (32)

Two words give two standard normals (Box & Muller 1958): √(−2 ln u) cos 2πv and √(−2 ln u) sin 2πv. All 32 bits of one
word go into u = (a + ½)/2³², so that normals reach to 6.8 standard deviations, and all 32 of the other into v.
"""

from __future__ import annotations

import math

from numba import float32, int32, uint32

from bnnbench.kernels.arithmetic import cos_sin, log
from bnnbench.kernels.compiler import inline


@inline
def _four_rounds(a, b, r0, r1, r2, r3):
    a = uint32(a + b)
    b = uint32(uint32(uint32(b << uint32(r0)) | uint32(b >> uint32(32 - r0))) ^ a)
    a = uint32(a + b)
    b = uint32(uint32(uint32(b << uint32(r1)) | uint32(b >> uint32(32 - r1))) ^ a)
    a = uint32(a + b)
    b = uint32(uint32(uint32(b << uint32(r2)) | uint32(b >> uint32(32 - r2))) ^ a)
    a = uint32(a + b)
    b = uint32(uint32(uint32(b << uint32(r3)) | uint32(b >> uint32(32 - r3))) ^ a)
    return a, b


@inline
def threefry(k0, k1, c0, c1):
    """Return two random words for a key (k0, k1) and a counter (c0, c1), all of 32 bits."""
    k2 = uint32(uint32(k0 ^ k1) ^ uint32(0x1BD11BDA))
    a, b = uint32(c0 + k0), uint32(c1 + k1)
    a, b = _four_rounds(a, b, 13, 15, 26, 6)
    a, b = uint32(a + k1), uint32(b + uint32(k2 + uint32(1)))
    a, b = _four_rounds(a, b, 17, 29, 16, 24)
    a, b = uint32(a + k2), uint32(b + uint32(k0 + uint32(2)))
    a, b = _four_rounds(a, b, 13, 15, 26, 6)
    a, b = uint32(a + k0), uint32(b + uint32(k1 + uint32(3)))
    a, b = _four_rounds(a, b, 17, 29, 16, 24)
    a, b = uint32(a + k1), uint32(b + uint32(k2 + uint32(4)))
    a, b = _four_rounds(a, b, 13, 15, 26, 6)
    return uint32(a + k2), uint32(b + uint32(k0 + uint32(5)))


@inline
def two_normals(a, b):
    """Return two independent standard normals from two words."""
    # The halves of a are exact in single precision; their sum is rounded once.
    high, low = float32(int32(a >> uint32(8))), float32(int32(a & uint32(255)))
    u = (high + (low + float32(0.5)) * float32(2.0**-8)) * float32(2.0**-24)
    u = float32(1) if u > float32(1) else u
    radius = math.sqrt(float32(-2) * log(u))
    cosine, sine = cos_sin(b)
    return radius * cosine, radius * sine
