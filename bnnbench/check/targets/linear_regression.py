"""Bayesian linear regression with known noise: a normal posterior, minibatch noise that depends on θ."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.target import DOUBLE, Target


class LinearRegression(Target):
    """y_n ~ N(x_nᵀθ, σ²), θ ~ N(0, s² I), conjugate: precision XᵀX/σ² + I/s², d = 3 (one column is the intercept).

    The prior goes to the sampler as weight decay 1/(N s²). A datum's gradient is x_n (x_nᵀθ − y_n)/σ².
    """

    name = "linear_regression"
    noise_variance = 0.25  # σ²
    prior_variance = 0.1  # s²: strong enough that a prior forgotten, or N-fold, shows

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(2)
        x = torch.randn(self.num_data, 3, generator=generator, dtype=DOUBLE)
        x[:, 0], x[:, 2] = 1, 0.5 * x[:, 2] + 0.5 * x[:, 1]
        noise = torch.randn(self.num_data, generator=generator, dtype=DOUBLE)
        y = x @ torch.tensor([0.3, -0.5, 0.4], dtype=DOUBLE) + self.noise_variance**0.5 * noise
        self._x, self._y = x, y
        self._x_single, self._y_single = x.float(), y.float()
        precision = x.T @ x / self.noise_variance + torch.eye(3, dtype=DOUBLE) / self.prior_variance
        self.covariance = torch.linalg.inv(precision)
        self.mean = self.covariance @ x.T @ y / self.noise_variance
        self.hessian = precision / self.num_data
        self.weight_decay = 1 / (self.num_data * self.prior_variance)

    def loss(self, theta: Tensor, index: Tensor | None) -> Tensor:
        """Return the mean of (x_nᵀθ − y_n)²/(2σ²), [K]."""
        if index is None:
            residual = theta @ self._x_single.T - self._y_single
        else:
            residual = (self._x_single[index] * theta[:, None]).sum(2) - self._y_single[index]
        return residual.square().mean(1) / (2 * self.noise_variance)

    def draw(self, chains: int, generator: torch.Generator) -> Tensor:
        """Return draws of the posterior, [K, d]."""
        normal = torch.randn(chains, 3, generator=generator, dtype=DOUBLE)
        return self.mean + normal @ torch.linalg.cholesky(self.covariance).T

    def gradient_covariance(self, second: Tensor) -> Tensor:
        """Return (1/N) Σ_n x_n x_nᵀ (x_nᵀ S x_n + r_n²)/σ⁴ − A S A − a aᵀ.

        r_n are the residuals at the posterior's mean, A = XᵀX/(Nσ²), a = Xᵀr/(Nσ²).
        """
        x, residual = self._x, self._x @ self.mean - self._y
        spread = torch.einsum("ni,...ij,nj->...n", x, second, x) + residual.square()
        moment = torch.einsum("...n,ni,nj->...ij", spread, x, x) / (self.num_data * self.noise_variance**2)
        curvature = x.T @ x / (self.num_data * self.noise_variance)
        average = x.T @ residual / (self.num_data * self.noise_variance)
        return moment - curvature @ second @ curvature - torch.outer(average, average)
