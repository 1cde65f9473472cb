"""The protocol of a target: a posterior with known moments, as mean NLL of N data and a Gaussian prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

DOUBLE = torch.float64


class Target(ABC):
    """A posterior p(θ | y_1 … y_N) on R^d with known mean and covariance.

    Attributes:
        name: in the table.
        num_data: N.
        weight_decay: 1/(N s²) of the prior N(0, s²); 0 for a flat one.
        mean, covariance: of the posterior at T = 1, [d] and [d, d], double precision.
        hessian: J of the potential per datum Ū, the prior included, [d, d]; its mean over the posterior where it
            depends on θ.
        linear: whether ∇Ū = J (θ − mean) everywhere, so that the law of a Langevin chain is known.
        slow: whether it is left out of a quick check, for the steps that chains need to forget their start.
        constant_noise: whether the covariance of a datum's gradient is the same at every θ.
    """

    name: str
    num_data: int = 100
    weight_decay: float = 0.0
    mean: Tensor
    covariance: Tensor
    hessian: Tensor
    linear: bool = True
    slow: bool = False
    constant_noise: bool = False

    @abstractmethod
    def loss(self, theta: Tensor, index: Tensor | None) -> Tensor:
        """Return each chain's mean NLL [K], up to a constant, of the data `index` [K, B], or of all N if None."""

    @abstractmethod
    def draw(self, chains: int, generator: torch.Generator) -> Tensor:
        """Return independent draws of the posterior at T = 1, [K, d]: where chains start."""

    def posterior_moments(self, temperature: float) -> tuple[Tensor, Tensor]:
        """Return mean and second moment [d] of every direction u_i under p(θ | y)^(1/T); see `directions`."""
        return torch.zeros(len(self.mean), dtype=DOUBLE), torch.full((len(self.mean),), temperature, dtype=DOUBLE)

    def gradient_covariance(self, second: Tensor) -> Tensor:
        """Return E Cov_n ∇ℓ_n(θ), of one datum's gradient, over θ with the posterior's mean and covariance `second`.

        Of a target that is `linear`; no other has a law that asks for it.

        Args:
            second: covariance of θ, [..., d, d].
        """
        raise NotImplementedError

    @cached_property
    def directions(self) -> Tensor:
        """The rows of W [d, d]: u = W (θ − mean) has mean 0 and covariance I under the posterior at T = 1."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors.T / values.sqrt()[:, None]

    def coordinates(self, theta: Tensor) -> Tensor:
        """Return u = W (θ − mean), [K, d], in units of posterior standard deviations, double precision."""
        return (theta.detach().to(DOUBLE) - self.mean) @ self.directions.T
