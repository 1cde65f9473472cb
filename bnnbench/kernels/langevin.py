"""Loops that make a step of SGLD and pSGLD: the noise is drawn and the update applied in one pass over the weights.

A step makes one call for all tensors and chains: the loops take arrays of their addresses, which costs a microsecond or
two where views would cost some for each tensor. What may stand at such an address `bnnbench.samplers._one_pass` checks:
single precision, contiguous, on the CPU.

The rules are those of `bnnbench.samplers.sgld` and `psgld`, where they are explained. Elements come in pairs, as
normals do: see `bnnbench.kernels.normals`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32, uint32

from bnnbench.kernels.addresses import floats
from bnnbench.kernels.compiler import inline, loop
from bnnbench.kernels.threefry import threefry, two_normals


@inline
def _sgld(w, g, j, xi, lr, decay, sd):
    w[j] = w[j] - lr * (g[j] + decay * w[j]) + sd * xi


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
        w1, g1 = floats(w[t], n), floats(g[t], n)
        w2, g2 = w1[m:], g1[m:]
        for j in range(n - m):
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            _sgld(w1, g1, j, x, lr, decay, sd)
            _sgld(w2, g2, j, y, lr, decay, sd)
        if m > n - m:
            a, b = threefry(k0, k1, uint32(m - 1), step)
            _sgld(w1, g1, m - 1, two_normals(a, b)[0], lr, decay, sd)


@inline
def _held(w, g, v, j, xi, lr, decay, damping, sd):
    G = float32(1) / (damping + math.sqrt(v[j]))
    w[j] = w[j] - lr * ((g[j] + decay * w[j]) * G) + sd * (math.sqrt(G) * xi)


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
        w1, g1, v1 = floats(w[t], n), floats(g[t], n), floats(v[t], n)
        w2, g2, v2 = w1[m:], g1[m:], v1[m:]
        for j in range(n - m):
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            _held(w1, g1, v1, j, x, lr, decay, damping, sd)
            _held(w2, g2, v2, j, y, lr, decay, damping, sd)
        if m > n - m:
            a, b = threefry(k0, k1, uint32(m - 1), step)
            _held(w1, g1, v1, m - 1, two_normals(a, b)[0], lr, decay, damping, sd)


@inline
def _moving(w, g, v, j, xi, lr, decay, decay_in_v, alpha, rest, correction, damping, sd):
    g_bar = g[j] + decay_in_v * w[j]
    V = alpha * v[j] + rest * (g_bar * g_bar)
    v[j] = V
    G = float32(1) / (damping + correction * math.sqrt(V))
    w[j] = w[j] - lr * ((g[j] + decay * w[j]) * G) + sd * (math.sqrt(G) * xi)


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
        w1, g1, v1 = floats(w[t], n), floats(g[t], n), floats(v[t], n)
        w2, g2, v2 = w1[m:], g1[m:], v1[m:]
        for j in range(n - m):
            a, b = threefry(k0, k1, uint32(j), step)
            x, y = two_normals(a, b)
            _moving(w1, g1, v1, j, x, lr, decay, decay_in_v, alpha, rest, correction, damping, sd)
            _moving(w2, g2, v2, j, y, lr, decay, decay_in_v, alpha, rest, correction, damping, sd)
        if m > n - m:
            a, b = threefry(k0, k1, uint32(m - 1), step)
            x = two_normals(a, b)[0]
            _moving(w1, g1, v1, m - 1, x, lr, decay, decay_in_v, alpha, rest, correction, damping, sd)


def warm_up(name: str) -> None:
    """Compile the loop called `name`, or load it, without a step: it is given no tensors."""
    none, keys = np.empty(0, np.int64), np.empty((0, 2), np.uint32)
    tensors, numbers = {"sgld": (2, 3), "psgld_held": (3, 4), "psgld": (3, 8)}[name]
    globals()[name](*[none] * (tensors + 1), keys, np.uint32(0), *[np.float32(0)] * numbers)
