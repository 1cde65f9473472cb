"""Bayesian logistic regression: one mode, skewed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bnnbench.check.target import DOUBLE
from bnnbench.check.targets._plane import Plane


class LogisticRegression(Plane):
    """y_n = ±1 with p(y_n) = 1/(1 + e^{−y_n x_nᵀθ}), x_n = (1, z_n), θ ~ N(0, s² I), s² = 2.

    The prior goes to the sampler as weight decay 1/(N s²).
    """

    name = "logistic_regression"
    num_data = 30  # few, so that the posterior is not normal
    prior_variance = 2.0  # s²

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(4)
        x = torch.randn(self.num_data, 2, generator=generator, dtype=DOUBLE)
        x[:, 0] = 1
        up = torch.rand(self.num_data, generator=generator, dtype=DOUBLE) < torch.sigmoid(x @ x.new_tensor([-1.0, 2.0]))
        self._signed = x * (2 * up.to(DOUBLE) - 1)[:, None]  # y_n x_n
        self.weight_decay = 1 / (self.num_data * self.prior_variance)
        super().__init__((-7.0, -7.0), (7.0, 9.0))

    def potential(self, theta: Tensor) -> Tensor:
        """Return Σ_n log(1 + e^{−y_n x_nᵀθ}) + ‖θ‖²/(2 s²), [K]."""
        margins = theta @ self._signed.to(theta.dtype).T
        return softplus(-margins).sum(1) + theta.square().sum(1) / (2 * self.prior_variance)
