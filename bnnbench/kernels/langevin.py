"""Loops that make a step of SGLD and pSGLD: the noise is drawn and the update applied in one pass over the weights.

A step makes one call for all tensors and chains: the loops are told addresses, which costs some microseconds where
views would cost some for each tensor. What may stand at such an address `bnnbench.samplers._one_pass` checks: single
precision, contiguous, on the CPU.

The rules are those of `bnnbench.samplers.sgld` and `psgld`, where they are explained. Elements come in pairs, as
normals do: see `bnnbench.kernels.normals`. Tensors are done in pieces, by several threads if there are many.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import carray, float32, uint32
from numpy.typing import NDArray

from bnnbench.kernels.addresses import floats, integers
from bnnbench.kernels.compiler import entry, inline
from bnnbench.kernels.team import Integers, next_piece, work
from bnnbench.kernels.threefry import threefry, two_normals

PAIRS = 1 << 14  # of a piece: it takes some 40 microseconds, so that threads end together
WIDTH = 8  # words of a piece: n of its tensor, the pairs [first, end), two words of the key, addresses


@inline
def _job(data):
    """Return the number of pieces, the step, the addresses of the rule's numbers and of the pieces."""
    words = carray(data, (5,), np.int64)
    return words[1], uint32(words[2]), words[3], words[4]


@inline
def _piece(pieces, p):
    """Return the number of whole pairs, whether a half one follows, the first counter, and the key."""
    row = integers(pieces + 8 * WIDTH * p, WIDTH)
    n, first, end = row[0], row[1], row[2]
    whole = min(end, n // 2)
    return whole - first, end > whole, uint32(first), uint32(row[3]), uint32(row[4])


@inline
def _halves(pieces, p, which):
    """Return an array from the first elements of the piece's pairs on, and one from the second elements on."""
    row = integers(pieces + 8 * WIDTH * p, WIDTH)
    n, first = row[0], row[1]
    values = floats(row[5 + which], n)
    return values[first:], values[(n + 1) // 2 + first :]


@inline
def _each_pair(update, pieces, p, first, second, step, numbers):
    """Draw the normals of a piece and call `update` for each of its elements.

    Args:
        update: (arrays, j, ξ, numbers) of a rule.
        pieces, p: the piece.
        first, second: arrays from the first and second elements of its pairs on.
        step: second word of the counters.
        numbers: of the rule.
    """
    whole, half, counter, k0, k1 = _piece(pieces, p)
    for j in range(whole):
        a, b = threefry(k0, k1, uint32(counter + uint32(j)), step)
        x, y = two_normals(a, b)
        update(first, j, x, numbers)
        update(second, j, y, numbers)
    if half:
        a, b = threefry(k0, k1, uint32(counter + uint32(whole)), step)
        update(first, whole, two_normals(a, b)[0], numbers)


@inline
def _sgld(arrays, j, xi, numbers):
    (w, g), (lr, decay, sd) = arrays, numbers
    w[j] = w[j] - lr * (g[j] + decay * w[j]) + sd * xi


@inline
def _held(arrays, j, xi, numbers):
    (w, g, v), (lr, decay, damping, sd) = arrays, numbers
    G = float32(1) / (damping + math.sqrt(v[j]))
    w[j] = w[j] - lr * ((g[j] + decay * w[j]) * G) + sd * (math.sqrt(G) * xi)


@inline
def _moving(arrays, j, xi, numbers):
    (w, g, v), (lr, decay, decay_in_v, alpha, rest, correction, damping, sd) = arrays, numbers
    g_bar = g[j] + decay_in_v * w[j]
    V = alpha * v[j] + rest * (g_bar * g_bar)
    v[j] = V
    G = float32(1) / (damping + correction * math.sqrt(V))
    w[j] = w[j] - lr * ((g[j] + decay * w[j]) * G) + sd * (math.sqrt(G) * xi)


@entry
def _sgld_pieces(data):
    count, step, numbers, pieces = _job(data)
    s = floats(numbers, 3)
    scalars = (s[0], s[1], s[2])
    p = next_piece(data)
    while p < count:
        (w, w2), (g, g2) = _halves(pieces, p, 0), _halves(pieces, p, 1)
        _each_pair(_sgld, pieces, p, (w, g), (w2, g2), step, scalars)
        p = next_piece(data)


@entry
def _held_pieces(data):
    count, step, numbers, pieces = _job(data)
    s = floats(numbers, 4)
    scalars = (s[0], s[1], s[2], s[3])
    p = next_piece(data)
    while p < count:
        (w, w2), (g, g2), (v, v2) = _halves(pieces, p, 0), _halves(pieces, p, 1), _halves(pieces, p, 2)
        _each_pair(_held, pieces, p, (w, g, v), (w2, g2, v2), step, scalars)
        p = next_piece(data)


@entry
def _moving_pieces(data):
    count, step, numbers, pieces = _job(data)
    s = floats(numbers, 8)
    scalars = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])
    p = next_piece(data)
    while p < count:
        (w, w2), (g, g2), (v, v2) = _halves(pieces, p, 0), _halves(pieces, p, 1), _halves(pieces, p, 2)
        _each_pair(_moving, pieces, p, (w, g, v), (w2, g2, v2), step, scalars)
        p = next_piece(data)


class Rule:
    """A step of one rule on tensors at addresses.

    Args:
        pieces: the loop.
        arrays: how many it has for each tensor: parameters, gradients, and V.
        numbers: their names, in order.
    """

    def __init__(self, pieces: Any, arrays: int, numbers: str) -> None:
        self.pieces, self.arrays, self.numbers = pieces, arrays, numbers.split()

    def __call__(
        self,
        addresses: tuple[Integers, ...],
        size: Integers,
        keys: NDArray[np.uint32],
        step: int,
        *numbers: float,
        threads: int = 1,
    ) -> None:
        """Make the step.

        Args:
            addresses: of parameters, gradients and, of pSGLD, V: each int64 [tensors].
            size: numbers of elements, int64 [tensors].
            keys: of the tensors' noise, uint32 [tensors, 2].
            step: second word of the counters.
            numbers: used in single precision.
            threads: how many may share the work.
        """
        if len(addresses) != self.arrays or len(numbers) != len(self.numbers):
            raise TypeError(f"{self.arrays} arrays and the numbers {', '.join(self.numbers)}")
        tensor, table, pairs = _cut(size.tobytes())
        table = table.copy()
        table[:, 3:5] = keys[tensor]
        for column, array in enumerate(addresses, 5):
            table[:, column] = array[tensor]
        single = np.array(numbers, np.float32)
        places = [array.__array_interface__["data"][0] for array in (single, table)]
        job = np.array([0, len(table), step, *places], np.int64)
        work(self.pieces(), job, min(threads, -(-pairs // PAIRS)))


@functools.lru_cache(maxsize=64)
def _cut(sizes: bytes) -> tuple[Integers, Integers, int]:
    """Return the pieces' tensors [pieces], their words [pieces, WIDTH] without key and addresses, and all pairs."""
    rows = [
        (t, n, first, min(first + PAIRS, (n + 1) // 2))
        for t, n in enumerate(np.frombuffer(sizes, np.int64).tolist())
        for first in range(0, (n + 1) // 2, PAIRS)
    ]
    found = np.array(rows, np.int64).reshape(-1, 4)
    table = np.zeros((len(rows), WIDTH), np.int64)
    table[:, :3] = found[:, 1:]
    return found[:, 0], table, int((table[:, 2] - table[:, 1]).sum())


# θ ← θ − η (ḡ + δ θ) + s ξ with δ = 1/(N s²) and s = √(2ηT/N).
sgld = Rule(_sgld_pieces, 2, "lr decay sd")
# θ ← θ − η G (ḡ + δ θ) + s √G ξ with G = 1/(λ + √V) and a V that is held.
psgld_held = Rule(_held_pieces, 3, "lr decay damping sd")
# V ← α V + (1 − α) (ḡ + δᵥ θ)² before, and G = 1/(λ + c √V). δᵥ is δ where the prior's gradient is part of V, or 0; c
# is 1/√(1 − αᵗ) for a V that began at 0, or 1; `rest` is 1 − α.
psgld = Rule(_moving_pieces, 3, "lr decay decay_in_v alpha rest correction damping sd")


def warm_up(name: str) -> None:
    """Compile the loop of the rule called `name`, or load it, without a step: it is given no tensors."""
    rule, none = globals()[name], np.empty(0, np.int64)
    rule((none,) * rule.arrays, none, np.empty((0, 2), np.uint32), 0, *[0.0] * len(rule.numbers))
