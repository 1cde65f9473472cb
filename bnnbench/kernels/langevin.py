"""Loops that make a step of SGLD and pSGLD: the noise is drawn and the update applied in one pass over the weights.

A step makes one call for all tensors and chains: the loops take arrays of their addresses, which costs a microsecond or
two where views would cost some for each tensor. What may stand at such an address `bnnbench.samplers._in_one_pass`
checks: single precision, contiguous, on the CPU.

The rules are those of `bnnbench.samplers.sgld` and `psgld`, where they are explained.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, float32, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic

from bnnbench.kernels.compiler import inline, loop
from bnnbench.kernels.threefry import threefry, two_normals


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    return types.voidptr(address), lambda ctx, builder, signature, args: builder.inttoptr(args[0], cgutils.voidptr_t)


@inline
def _floats(address, size):
    return carray(_pointer(address), (size,), np.float32)


@inline
def _sgld(w, g, lr, decay, sd, xi):
    return w - lr * (g + decay * w) + sd * xi


@loop
def sgld(w, g, size, keys, step, lr, decay, sd):
    """θ ← θ − η (ḡ + δ θ) + s ξ.

    Args:
        w, g: addresses of parameters and gradients, int64 [tensors].
        size: their numbers of elements, int64 [tensors].
        keys: of the tensors' noise, uint32 [tensors, 2].
        step: second word of the counters.
        lr, decay, sd: η, δ = 1/(N s²) and s = √(2ηT/N), float32.
    """
    for t in range(w.shape[0]):
        n = size[t]
        m = (n + 1) // 2
        k0, k1 = keys[t, 0], keys[t, 1]
        w1, g1 = _floats(w[t], n), _floats(g[t], n)
        w2, g2 = w1[m:], g1[m:]
        for j in range(n - m):
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            w1[j] = _sgld(w1[j], g1[j], lr, decay, sd, x)
            w2[j] = _sgld(w2[j], g2[j], lr, decay, sd, y)
        if m > n - m:
            a, b = threefry(k0, k1, uint32(m - 1), step)
            x, y = two_normals(a, b)
            w1[m - 1] = _sgld(w1[m - 1], g1[m - 1], lr, decay, sd, x)


@inline
def _psgld(w, drift, root, lr, damping, sd, xi):
    G = float32(1) / (damping + root)
    return w - lr * (drift * G) + sd * (math.sqrt(G) * xi)


@loop
def psgld_held(w, g, v, size, keys, step, lr, decay, damping, sd):
    """θ ← θ − η G (ḡ + δ θ) + s √G ξ with G = 1/(λ + √V) and a V that is held.

    Args:
        w, g, v: addresses of parameters, gradients and V, int64 [tensors].
        size, keys, step: see `sgld`.
        lr, decay, damping, sd: η, δ, λ and s, float32.
    """
    for t in range(w.shape[0]):
        n = size[t]
        m = (n + 1) // 2
        k0, k1 = keys[t, 0], keys[t, 1]
        w1, g1, v1 = _floats(w[t], n), _floats(g[t], n), _floats(v[t], n)
        w2, g2, v2 = w1[m:], g1[m:], v1[m:]
        for j in range(n - m):
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            w1[j] = _psgld(w1[j], g1[j] + decay * w1[j], math.sqrt(v1[j]), lr, damping, sd, x)
            w2[j] = _psgld(w2[j], g2[j] + decay * w2[j], math.sqrt(v2[j]), lr, damping, sd, y)
        if m > n - m:
            j = m - 1
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            w1[j] = _psgld(w1[j], g1[j] + decay * w1[j], math.sqrt(v1[j]), lr, damping, sd, x)


@inline
def _moved(v, g, w, decay_in_v, alpha, rest):
    g_bar = g + decay_in_v * w
    return alpha * v + rest * (g_bar * g_bar)


@loop
def psgld(w, g, v, size, keys, step, lr, decay, decay_in_v, alpha, rest, correction, damping, sd):
    """V ← α V + (1 − α) (ḡ + δᵥ θ)², then θ ← θ − η G (ḡ + δ θ) + s √G ξ with G = 1/(λ + c √V).

    Args:
        w, g, v, size, keys, step: see `psgld_held`.
        lr, decay, damping, sd: η, δ, λ and s, float32.
        decay_in_v: δᵥ, δ where the prior's gradient is part of V, or 0.
        alpha, rest: α and 1 − α.
        correction: c, 1/√(1 − αᵗ) of a V that began at 0, or 1.
    """
    for t in range(w.shape[0]):
        n = size[t]
        m = (n + 1) // 2
        k0, k1 = keys[t, 0], keys[t, 1]
        w1, g1, v1 = _floats(w[t], n), _floats(g[t], n), _floats(v[t], n)
        w2, g2, v2 = w1[m:], g1[m:], v1[m:]
        for j in range(n - m):
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            new = _moved(v1[j], g1[j], w1[j], decay_in_v, alpha, rest)
            v1[j] = new
            w1[j] = _psgld(w1[j], g1[j] + decay * w1[j], correction * math.sqrt(new), lr, damping, sd, x)
            new = _moved(v2[j], g2[j], w2[j], decay_in_v, alpha, rest)
            v2[j] = new
            w2[j] = _psgld(w2[j], g2[j] + decay * w2[j], correction * math.sqrt(new), lr, damping, sd, y)
        if m > n - m:
            j = m - 1
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            new = _moved(v1[j], g1[j], w1[j], decay_in_v, alpha, rest)
            v1[j] = new
            w1[j] = _psgld(w1[j], g1[j] + decay * w1[j], correction * math.sqrt(new), lr, damping, sd, x)


def warm_up(name: str) -> None:
    """Compile the loop called `name`, or load it, without a step: it is given no tensors."""
    none, keys = np.empty(0, np.int64), np.empty((0, 2), np.uint32)
    tensors, numbers = {"sgld": (2, 3), "psgld_held": (3, 4), "psgld": (3, 8)}[name]
    globals()[name](*[none] * (tensors + 1), keys, np.uint32(0), *[np.float32(0)] * numbers)
