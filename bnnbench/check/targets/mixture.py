"""Two modes that are joined by little mass: the mixture of Welling & Teh (2011, section 5.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.target import DOUBLE
from bnnbench.check.targets._plane import Plane


class Mixture(Plane):
    """x_n ~ ½ N(θ₁, 2) + ½ N(θ₁ + θ₂, 2), θ₁ ~ N(0, 10), θ₂ ~ N(0, 1); N = 100 data drawn at θ = (0, 1)."""

    name = "mixture"
    slow = True

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        component = torch.randint(2, (self.num_data,), generator=generator)
        self._x = component + 2**0.5 * torch.randn(self.num_data, generator=generator, dtype=DOUBLE)
        super().__init__((-2.0, -3.5), (3.0, 4.0))

    def potential(self, theta: Tensor) -> Tensor:
        """Return −Σ_n log p(x_n | θ) − log p(θ), [K]."""
        x = self._x.to(theta.dtype)
        first, second = theta[:, :1], theta.sum(1, keepdim=True)
        likelihood = torch.logaddexp(-((x - first) ** 2) / 4, -((x - second) ** 2) / 4).sum(1)
        return theta[:, 0] ** 2 / 20 + theta[:, 1] ** 2 / 2 - likelihood
