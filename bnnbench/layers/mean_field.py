"""Factorised Gaussian posterior over weights: Bayes by backprop, and its local reparameterisation."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnnbench.layers import joint_kl
from bnnbench.layers.base import StochasticLayer, check_choice, check_positive, log_ratio
from bnnbench.layers.fused.mean_field_linear import mean_field_linear
from bnnbench.layers.fused.normal import normal
from bnnbench.layers.kl import gaussian_total
from bnnbench.layers.noise import standard_normal

ESTIMATORS = ("local", "separate", "single")


class MeanField(StochasticLayer):
    """q(w) = N(μ, σ²) with σ = log(1 + exp ρ) for every weight, and for every bias if `random_bias`.

    μ is the parameter `weight` (`bias`), ρ is `rho` (`bias_rho`). A forward pass in training estimates E_q with

        single     w = μ + σ ⊙ ε, one draw for the whole batch (Blundell et al. 2015, section 3)
        separate   a draw of the weights for every datum, at the cost of B weight matrices
        local      y ~ N(γ, δ), γ = Σ μ x, δ = Σ σ² x²: noise on the pre-activations (Kingma et al. 2015, section 2)

    For a dense layer and one datum all three have the same law; they differ in the noise that data share, and so in
    the variance of the gradient: local ≤ separate < single. For a convolution ``local`` draws the positions of an
    image independently: the marginal of each is exact, their joint law is not.

    The KL to N(0, s²) is in closed form. To Blundell's mixture π N(0, σ₁²) + (1 − π) N(0, σ₂²) (their section 3.3) it
    is −H(q) − E_q log p with the entropy H in closed form and the expectation over fresh draws: unbiased.

    Args:
        layer: nn.Linear or nn.Conv2d, whose weights become μ.
        estimator: ``local``, ``separate`` or ``single``.
        init_std: initial σ > 0 of all weights. It should be small, or the first steps see only noise.
        prior: ``gaussian`` or ``mixture``.
        prior_std: s > 0 of the Gaussian prior.
        mixture: (π, σ₁, σ₂) of the mixture, 0 < π < 1, σ₁ > σ₂ > 0. Default: from Blundell's grid.
        kl_samples: draws of the weights in a Monte Carlo KL.
        random_bias: False makes the bias a deterministic parameter, without a KL.
        sample: None follows the mode; True draws in evaluation as well; False never draws.

    Raises:
        ValueError: an argument out of range; `layer` of another kind.
    """

    compiles = True
    bias_rho: nn.Parameter | None

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        estimator: Literal["local", "separate", "single"] = "local",
        init_std: float = 0.01,
        prior: Literal["gaussian", "mixture"] = "gaussian",
        prior_std: float = 1.0,
        mixture: tuple[float, float, float] = (0.5, 1.0, math.exp(-6)),
        kl_samples: int = 1,
        random_bias: bool = True,
        sample: bool | None = None,
    ) -> None:
        super().__init__(layer, sample)
        check_choice("estimator", estimator, ESTIMATORS)
        check_choice("prior", prior, ("gaussian", "mixture"))
        check_positive("init_std", init_std)
        check_positive("prior_std", prior_std)
        if len(mixture) != 3 or not (0 < mixture[0] < 1 and 0 < mixture[2] < mixture[1] < math.inf):
            raise ValueError(f"mixture must be (π, σ1, σ2) with 0 < π < 1 and σ1 > σ2 > 0, got {tuple(mixture)}")
        if kl_samples < 1:
            raise ValueError(f"kl_samples must be at least 1, got {kl_samples}")
        self.estimator, self.prior, self.prior_std = estimator, prior, prior_std
        self.mixture, self.kl_samples = tuple(mixture), kl_samples
        rho = init_std + math.log(-math.expm1(-init_std))  # the inverse of softplus, stable at both ends
        self.rho = nn.Parameter(torch.full_like(self.weight, rho))
        bias_rho = None if self.bias is None or not random_bias else nn.Parameter(torch.full_like(self.bias, rho))
        self.register_parameter("bias_rho", bias_rho)

    @property
    def kl_covers(self) -> tuple[str, ...]:
        """Names of the parameters whose prior is part of the KL; deterministic biases are excluded."""
        return ("weight", "rho") if self.bias_rho is None else ("weight", "rho", "bias", "bias_rho")

    @property
    def std(self) -> Tensor:
        """σ = log(1 + exp ρ) of the weights, in their shape."""
        return F.softplus(self.rho)

    @property
    def bias_std(self) -> Tensor | None:
        """σ of the biases; None if they are deterministic."""
        return None if self.bias_rho is None else F.softplus(self.bias_rho)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return γ and δ, mean and variance of the pre-activations under q, in the shape of the output."""
        bias_variance = None if self.bias_rho is None else F.softplus(self.bias_rho).square()
        return self.mean(x), self.affine(x.square(), self.std.square(), bias_variance)

    def draw(self, x: Tensor) -> Tensor:
        """Return pre-activations with fresh noise, drawn by the layer's estimator."""
        if self.estimator == "local":
            if not self.is_conv and self.prior == "gaussian":
                step = mean_field_linear(x, self.weight, self.rho, self.bias, self.bias_rho, self.prior_std)
                if step is not None:
                    joint_kl.store(self, step[1], *self._with_prior())
                    return step[0]
            return normal(*self.moments(x))
        if self.estimator == "single" or x.dim() == (3 if self.is_conv else 1):  # no batch axis: one datum
            return self.affine(x, *self.sample_weights())
        return self.affine_each(x, *self.sample_weights(len(x)))

    def sample_weights(self, *count: int) -> tuple[Tensor, Tensor | None]:
        """Return a draw from q, or `count` draws along a new leading axis: weight and bias, which may be None."""
        weight = self.weight + self.std * _noise(self.weight, count)
        if self.bias is None:
            return weight, None
        if self.bias_rho is None:
            return weight, self.bias.expand(*count, *self.bias.shape)
        return weight, self.bias + F.softplus(self.bias_rho) * _noise(self.bias, count)

    def kl(self) -> Tensor:
        """Return KL(q ‖ prior) in nats, summed over weights and random biases: a scalar."""
        joint = joint_kl.take(self, *self._with_prior())
        if joint is not None:
            return joint
        total = self._kl(self.weight, self.std)
        if self.bias is None or self.bias_rho is None:
            return total
        return total + self._kl(self.bias, F.softplus(self.bias_rho))

    def _with_prior(self) -> tuple[Tensor, ...]:
        if self.bias is None or self.bias_rho is None:
            return self.weight, self.rho
        return self.weight, self.rho, self.bias, self.bias_rho

    def _kl(self, mean: Tensor, std: Tensor) -> Tensor:
        if self.prior == "gaussian":
            return gaussian_total(mean, std, self.prior_std)
        negative_entropy = -(std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum()
        draws = mean + std * _noise(mean, (self.kl_samples,))
        return negative_entropy - log_mixture(draws, *self.mixture).sum() / self.kl_samples

    def current_log_alpha(self) -> Tensor:
        """Return log σ²/μ² in the shape of the weight: −2 log of Blundell's signal-to-noise ratio |μ|/σ."""
        return log_ratio(2 * self.std.log(), self.weight)

    def extra_repr(self) -> str:
        """Return the sizes, the estimator and the prior."""
        prior = f"std={self.prior_std}" if self.prior == "gaussian" else f"mixture={self.mixture}"
        return f"{super().extra_repr()}, estimator={self.estimator}, {prior}"


def log_mixture(w: Tensor, pi: float, std1: float, std2: float) -> Tensor:
    """Return log[π N(w; 0, σ₁²) + (1 − π) N(w; 0, σ₂²)], elementwise (Blundell et al. 2015, section 3.3)."""
    w2 = w.square()
    gap = math.log1p(-pi) - math.log(pi) + math.log(std1 / std2)  # log of the narrow component over the wide one at 0
    narrow = F.softplus(gap - w2 * (0.5 / std2**2 - 0.5 / std1**2), threshold=40)  # half the cost of a logaddexp
    return narrow - w2 * (0.5 / std1**2) + math.log(pi / std1) - 0.5 * math.log(2 * math.pi)


def _noise(like: Tensor, count: tuple[int, ...]) -> Tensor:
    return standard_normal(like, (*count, *like.shape))
