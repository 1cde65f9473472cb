"""Elementary functions in single precision that become vector instructions, which the C library's do not.

Each splits off a power of two or a quadrant and evaluates a polynomial of the Cephes library (Moshier 1992) on what is
left. Errors are in units of the last place of the result.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import float32, int32, types, uint32
from numba.extending import intrinsic

from bnnbench.kernels.compiler import inline


def _bitcast(source: Any, target: Any, kind: Any) -> Any:
    @intrinsic
    def cast(context: Any, x: Any) -> Any:
        return target(source), lambda ctx, builder, signature, args: builder.bitcast(args[0], kind)

    return cast


bits_of = _bitcast(types.float32, types.uint32, ir.IntType(32))
float_of = _bitcast(types.uint32, types.float32, ir.FloatType())


@inline
def log(x):
    """Return ln x for a normal x > 0, within 2 units; x is 2ᵉ (1 + f), √½ ≤ 1 + f < √2."""
    bits = bits_of(x)
    exponent = int32(uint32(bits - uint32(0x3F3504F3))) >> int32(23)
    f = float_of(uint32(bits - uint32(uint32(exponent) << uint32(23)))) - float32(1)
    p = float32(7.0376836292e-2)
    p = p * f + float32(-1.1514610310e-1)
    p = p * f + float32(1.1676998740e-1)
    p = p * f + float32(-1.2420140846e-1)
    p = p * f + float32(1.4249322787e-1)
    p = p * f + float32(-1.6668057665e-1)
    p = p * f + float32(2.0000714765e-1)
    p = p * f + float32(-2.4999993993e-1)
    p = p * f + float32(3.3333331174e-1)
    square, e = f * f, float32(exponent)
    low = f * square * p + e * float32(-2.12194440e-4) - float32(0.5) * square
    return (low + f) + e * float32(0.693359375)


@inline
def exp(x):
    """Return eˣ for |x| ≤ 87, within 2 units; NaN stays NaN, and beyond the result means nothing.

    The sum with 1.5 · 2²³ is rounded to an integer, which its last bits hold: floor() gives 64 bits, for which AVX2 has
    no vector instruction.
    """
    shifted = x * float32(1.44269504088896341) + float32(12582912)
    n = shifted - float32(12582912)
    f = x - n * float32(0.693359375) - n * float32(-2.12194440e-4)
    p = float32(1.9875691500e-4)
    p = p * f + float32(1.3981999507e-3)
    p = p * f + float32(8.3334519073e-3)
    p = p * f + float32(4.1665795894e-2)
    p = p * f + float32(1.6666665459e-1)
    p = p * f + float32(5.0000001201e-1)
    return (p * f * f + f + float32(1)) * float_of(uint32(uint32(bits_of(shifted) + uint32(127)) << uint32(23)))


@inline
def cos_sin(turn):
    """Return cos and sin of 2π · turn/2³², for a word `turn`, within 2⁻²³ absolute."""
    quadrant = uint32(uint32(turn + uint32(0x20000000)) >> uint32(30))
    x = float32(int32(uint32(turn - uint32(quadrant << uint32(30))))) * float32(2 * math.pi * 2.0**-32)  # |x| ≤ π/4
    z = x * x
    s = ((float32(-1.9515295891e-4) * z + float32(8.3321608736e-3)) * z + float32(-1.6666654611e-1)) * z * x + x
    c = (float32(2.443315711809948e-5) * z + float32(-1.388731625493765e-3)) * z + float32(4.166664568298827e-2)
    c = c * z * z - float32(0.5) * z + float32(1)
    odd = (quadrant & uint32(1)) != uint32(0)
    cosine = s if odd else c
    sine = c if odd else s
    cosine = -cosine if (uint32(quadrant + uint32(1)) & uint32(2)) != uint32(0) else cosine
    sine = -sine if (quadrant & uint32(2)) != uint32(0) else sine
    return cosine, sine
