"""Gradient noise that is skewed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bnnbench.check.gradient_noise._shaped import Shaped


class CentredLognormal(Shaped):
    """z = (e^{sx} − e^{s²/2})/√((e^{s²} − 1) e^{s²}), x ~ N(0, 1), s = 0.3: skewness 0.95, mean 0, variance 1."""

    name = "lognormal"
    s = 0.3
    excess = math.exp(4 * s**2) + 2 * math.exp(3 * s**2) + 3 * math.exp(2 * s**2) - 6

    def standardised(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return z."""
        square = math.exp(self.s**2)
        x = torch.randn(shape, generator=generator)
        return ((self.s * x).exp() - square**0.5) / math.sqrt((square - 1) * square)
