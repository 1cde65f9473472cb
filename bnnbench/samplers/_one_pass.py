"""The way from a sampler's tensors to the compiled loops of `bnnbench.kernels.langevin`, and whether it is open."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnbench.kernels import loops
from bnnbench.samplers._langevin import Tensors

SINGLE = 4  # bytes


class Counted(Protocol):
    """A source of normals that are functions of key and counter: a loop can draw them itself."""

    chains: int  # K; with K > 1 it is the size of the tensors' leading axis

    def reserve(self, tensors: int) -> tuple[NDArray[np.uint32], np.uint32]:
        """Return the keys [tensors · K, 2] of the next draw, chains within tensors, and the counters' second word."""


class Pass(NamedTuple):
    """What a loop is given, an element per tensor and chain.

    Attributes:
        loops: `bnnbench.kernels.langevin`.
        addresses: of parameters, gradients and states, each int64 [tensors · K].
        size: numbers of elements, int64 [tensors · K].
        keys, step: of the noise.
        held: what must live until the loop has run; the parameters come first.
    """

    loops: ModuleType
    addresses: tuple[NDArray[np.int64], ...]
    size: NDArray[np.int64]
    keys: NDArray[np.uint32]
    step: np.uint32
    held: Any

    def make(self, rule: str, *numbers: float) -> None:
        """Make a step of a rule of `loops` with these numbers, and tell autograd that the parameters have changed."""
        step = getattr(self.loops, rule)
        step(self.addresses, self.size, self.keys, int(self.step), *numbers, threads=torch.get_num_threads())
        for p in self.held[0]:  # so that no graph of before is used with them
            torch.autograd.graph.increment_version(p)


def one_pass(noise: object, params: Sequence[Tensor], grads: Tensors, *states: Sequence[Tensor]) -> Pass | None:
    """Return what a loop needs for a step on `params`; None where the plain formula has to make it.

    The loops take contiguous tensors of single precision on the CPU, and noise that is counted.
    """
    if not _is_counted(noise) or torch.compiler.is_compiling():
        return None
    if not all(map(_fits, params)) or not all(_fits(state) for group in states for state in group):
        return None
    dense = [g for g in grads if g.layout is torch.strided]
    grads = [g if g.is_contiguous() else g.contiguous() for g in dense]
    if len(grads) != len(params) or not all(map(_fits, grads)):
        return None
    langevin = loops("langevin")
    if langevin is None:
        return None
    chains = noise.chains
    layout = _layout(tuple(p.numel() for p in params), chains)
    if layout is None:
        return None
    size, offset = layout
    tensors = (params, grads, *states)
    addresses = tuple(np.array([t.data_ptr() for t in group], np.int64) for group in tensors)
    if chains > 1:
        addresses = tuple(np.repeat(first, chains) + offset for first in addresses)
    return Pass(langevin, addresses, size, *noise.reserve(len(params)), held=tensors)


def _is_counted(noise: object) -> TypeGuard[Counted]:
    return hasattr(noise, "reserve") and hasattr(noise, "chains")  # isinstance takes 20 microseconds


@functools.lru_cache(maxsize=256)
def _layout(numbers: tuple[int, ...], chains: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return sizes and bytes from the tensors' beginnings, for every tensor and chain; None if chains do not fit."""
    if any(number % chains for number in numbers):
        return None
    size = np.repeat(np.array(numbers, np.int64) // chains, chains)
    return size, SINGLE * size * np.tile(np.arange(chains), len(numbers))


def prepare(noise: object, *names: str) -> None:
    """Compile the loops of these names, so that no step has to wait for it."""
    if not _is_counted(noise):
        return
    langevin = loops("langevin")
    if langevin is not None:
        for name in names:
            langevin.warm_up(name)


def _fits(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.is_cpu and tensor.is_contiguous()
