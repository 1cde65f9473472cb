"""The mean of N normal data of known precision: the posterior is normal, with every gradient linear."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.target import DOUBLE, Target


class NormalMean(Target):
    """N data y_n of covariance J⁻¹, flat prior: ℓ_n = (θ − y_n)ᵀ J (θ − y_n)/2, θ | y ~ N(ȳ, J⁻¹/N).

    The data have these moments exactly, so that a datum's gradient J (θ − y_n) has the covariance J at every θ.

    Args:
        covariance: J⁻¹, [d, d].
    """

    constant_noise = True

    def __init__(self, covariance: Tensor) -> None:
        size = len(covariance)
        self.hessian = torch.linalg.inv(covariance)
        self.covariance = covariance / self.num_data
        self.mean = self.covariance.diagonal().sqrt()
        data = torch.randn(self.num_data, size, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
        data -= data.mean(0)
        white = torch.linalg.solve_triangular(torch.linalg.cholesky(data.T @ data / self.num_data), data.T, upper=False)
        self._data = (self.mean + white.T @ torch.linalg.cholesky(covariance).T).float()
        self._mean, self._hessian = self.mean.float(), self.hessian.float()

    def loss(self, theta: Tensor, index: Tensor | None) -> Tensor:
        """Return (θ − ȳ_B)ᵀ J (θ − ȳ_B)/2, [K]: the mean NLL but for what does not depend on θ."""
        away = theta - (self._mean if index is None else self._data[index].mean(1))
        return 0.5 * ((away @ self._hessian) * away).sum(1)

    def draw(self, chains: int, generator: torch.Generator) -> Tensor:
        """Return draws of N(ȳ, J⁻¹/N), [K, d]."""
        normal = torch.randn(chains, len(self.mean), generator=generator, dtype=DOUBLE)
        return self.mean + normal @ torch.linalg.cholesky(self.covariance).T

    def gradient_covariance(self, second: Tensor) -> Tensor:
        """Return J, whatever θ is."""
        return self.hessian.expand_as(second)
