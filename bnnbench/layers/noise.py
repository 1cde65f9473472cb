"""The random numbers of stochastic layers: the one place where they are drawn.

Within `counted` they are functions of seed, chain, step, draw and element alone (Threefry, `bnnbench.kernels`): neither
the other chains nor threads change them, and nothing has to be kept to go on with them. They are counted in single
precision on a CPU, for one network or for chains under one vmap; everything else draws from torch's generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnbench.kernels.fill import Key, fill_normals, fill_retained
from bnnbench.kernels.keys import key
from bnnbench.layers.fused.ops import transforms_active

Fill = Callable[[NDArray[np.float32], Key, np.uint32], None]


class Counter:
    """The draws of the stochastic layers of K networks, in the order in which a step makes them.

    Args:
        seeds: one seed per chain.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self.begin(0)

    def begin(self, step: int) -> None:
        """Let the draws that follow be those of a `step` below 2³²."""
        self._step, self._draws = np.uint32(step), [0] * len(self.seeds)

    def draw(self, size: tuple[int, ...], fill: Fill, chains: Sequence[int]) -> Tensor:
        """Return the next draw of each of `chains`, [chains, *size]."""
        drawn = np.empty((len(chains), math.prod(size)), np.float32)
        for row, chain in zip(drawn, chains, strict=True):
            fill(row, key(self.seeds[chain], self._draws[chain]), self._step)
            self._draws[chain] += 1
        return torch.from_numpy(drawn).view(len(chains), *size)


_counter: ContextVar[Counter | None] = ContextVar("counter", default=None)
_chain: ContextVar[int | Tensor] = ContextVar("chain", default=0)


@contextmanager
def counted(counter: Counter | None) -> Iterator[None]:
    """Let layers draw from `counter`, or from torch's generator if it is None, within a ``with`` block."""
    token = _counter.set(counter)
    try:
        yield
    finally:
        _counter.reset(token)


@contextmanager
def of_chain(chain: int | Tensor) -> Iterator[None]:
    """Say which chain draws: its index, or under vmap the vmapped indices [K] of all of them, in order."""
    token = _chain.set(chain)
    try:
        yield
    finally:
        _chain.reset(token)


def begin(step: int) -> None:
    """Begin a step of the counter in use, if there is one."""
    counter = _counter.get()
    if counter is not None:
        counter.begin(step)


def prepare() -> None:
    """Compile the loops that draw, so that no step has to wait for it."""
    if _counter.get() is not None:
        nothing, zero = np.empty(0, np.float32), np.uint32(0)
        for fill in (fill_normals, _Retained(1.0)):
            fill(nothing, (zero, zero), zero)


def standard_normal(like: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return independent N(0, 1) in `shape`, by default that of `like`, with the dtype and device of `like`."""
    drawn = _draw(like, like.shape if shape is None else shape, fill_normals)
    if drawn is not None:
        return drawn
    return torch.randn_like(like) if shape is None else torch.randn(shape, dtype=like.dtype, device=like.device)


def retained(like: Tensor, keep: float) -> Tensor:
    """Return m/p with independent m ~ Bernoulli(p), in the shape, dtype and device of `like`.

    Args:
        like: a tensor whose values do not matter.
        keep: p, in (0, 1]; counted masks have the nearest multiple of 2⁻³².
    """
    drawn = _draw(like, like.shape, _Retained(keep))
    return (torch.rand_like(like) < keep) / keep if drawn is None else drawn


def _draw(like: Tensor, size: tuple[int, ...], fill: Fill) -> Tensor | None:
    """Return a counted draw, or None where torch has to make it."""
    counter, chain = _counter.get(), _chain.get()
    if counter is None or like.dtype is not torch.float32 or not like.is_cpu or torch.compiler.is_compiling():
        return None
    if not transforms_active():
        return None if isinstance(chain, Tensor) else counter.draw(size, fill, (chain,))[0]
    # A transform within that over the chains asks for numbers along its own axis, which the counter does not have.
    functorch = torch._C._functorch
    if not isinstance(chain, Tensor) or functorch.maybe_get_level(chain) != functorch.maybe_current_level():
        return None
    return _OfChains.apply(chain, counter, tuple(size), fill)


class _OfChains(torch.autograd.Function):
    """A draw under the vmap over the chains: without a gradient, and without operations that vmap has to know."""

    @staticmethod
    def forward(chain: Tensor, counter: Counter, size: tuple[int, ...], fill: Fill) -> Tensor:
        return counter.draw(size, fill, (int(chain),))[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], chain: Tensor, counter: Counter, size: tuple[int, ...], fill: Fill
    ) -> tuple[Tensor, int]:
        return counter.draw(size, fill, chain.tolist()), 0


class _Retained:
    """Fills an array with m/p."""

    def __init__(self, keep: float) -> None:
        self.last, self.scale = np.uint32(max(round(keep * 2**32), 1) - 1), np.float32(1 / keep)

    def __call__(self, out: NDArray[np.float32], key: Key, step: np.uint32) -> None:
        fill_retained(out, key, step, self.last, self.scale)
