"""Minibatches drawn anew at every step, with replacement."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.gradient_noise.base import BATCH, GradientNoise
from bnnbench.check.target import Target


class IndependentMinibatches(GradientNoise):
    """B data of N with replacement, independent from step to step: noise of covariance C = Cov_n ∇ℓ_n / B."""

    name = "independent"

    def index(self, target: Target, chains: int, step: int, generator: torch.Generator) -> Tensor:
        """Return the data of a step, [K, B]."""
        return torch.randint(target.num_data, (chains, BATCH), generator=generator)
