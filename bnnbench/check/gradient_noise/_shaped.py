"""Noise of a given shape added to the gradient of all data, with the covariance that minibatches would have."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from bnnbench.check.gradient_noise.base import BATCH, GradientNoise
from bnnbench.check.target import DOUBLE, Target


class Shaped(GradientNoise):
    """e = L z with L Lᵀ = C, the covariance of a minibatch's gradient at the posterior's mean, z standardised.

    On a normal target such noise shows in the chain's covariance as normal noise does; its shape shows in the fourth
    moment alone. Coordinates of z are independent.
    """

    @abstractmethod
    def standardised(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return independent numbers of mean 0 and variance 1."""

    def added(self, target: Target, chains: int, generator: torch.Generator) -> Tensor:
        """Return e, [K, d]."""
        return self.standardised((chains, len(target.mean)), generator) @ self._root(target).T

    def _root(self, target: Target) -> Tensor:
        if self._known.get(target.name) is None:
            nowhere = torch.zeros_like(target.covariance, dtype=DOUBLE)
            covariance = target.gradient_covariance(nowhere) / BATCH
            self._known[target.name] = torch.linalg.cholesky(covariance).float()
        return self._known[target.name]

    @cached_property
    def _known(self) -> dict[str, Tensor]:
        return {}
