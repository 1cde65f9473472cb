"""Minibatches of a new permutation in every epoch, as training loops draw them."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.gradient_noise.base import BATCH, GradientNoise
from bnnbench.check.target import Target


class ReshuffledMinibatches(GradientNoise):
    """B data of N, each datum once in N/B steps: what one batch has too much the others lack, so the law is another."""

    name = "reshuffled"
    reshuffled = True

    def __init__(self) -> None:
        self._order: Tensor | None = None  # [K, N]

    def index(self, target: Target, chains: int, step: int, generator: torch.Generator) -> Tensor:
        """Return the data of a step, [K, B]; every chain has permutations of its own."""
        place = step % (target.num_data // BATCH)
        if place == 0 or self._order is None:
            self._order = torch.rand(chains, target.num_data, generator=generator).argsort(1)
        return self._order[:, place * BATCH : (place + 1) * BATCH]
