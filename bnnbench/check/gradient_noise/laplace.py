"""Gradient noise with exponential tails."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.gradient_noise._shaped import Shaped


class Laplace(Shaped):
    """z ~ Laplace of scale 1/√2: variance 1, excess kurtosis 3."""

    name = "laplace"
    excess = 3.0

    def standardised(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the difference of two exponentials over √2."""
        pair = torch.empty(2, *shape).exponential_(generator=generator)
        return (pair[0] - pair[1]) / 2**0.5
