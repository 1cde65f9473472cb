"""Functions of (θ, log σ²) that Sparse VD evaluates at every step: the variance and the KL.

log α = log σ² − log θ² is clamped to [−8, 8]. With

    q = σ(log α) = σ²/(σ² + θ²),    s = σ(−k₂ − k₃ log α)

the KL is k₁ s − ½ log q, and its derivative by log α is −k₁k₃ s (1 − s) − ½ (1 − q) within the limits and 0 beyond. The
derivative by log σ² is the same, that by θ is −2/θ times as large: 0 for θ = 0, which lies beyond.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bnnbench.layers import kl
from bnnbench.layers.fused.ops import Op, flat, total
from bnnbench.layers.kl import K1, K2, K3

LIMIT = 8.0  # log α is clamped to [−8, 8]


def log_alpha(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    """Return log σ² − log θ², clamped to [−8, 8]; 8 for a θ of 0, whatever its σ²."""
    theta2 = theta.square()
    tiny = torch.finfo(theta.dtype).tiny  # for a finite derivative
    clamped = (log_sigma2 - (theta2 + tiny).log()).clamp(-LIMIT, LIMIT)
    return torch.where(theta2 > 0, clamped, LIMIT)


def _variance(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    # exp(log α) θ² without the logarithm of a θ that may be 0: within the limits σ² itself.
    theta2 = theta.square()
    highest = math.log(torch.finfo(theta.dtype).max) - 1  # the derivative of an infinite exponential is NaN
    sigma2 = torch.maximum(log_sigma2.clamp_max(highest).exp(), theta2 * math.exp(-LIMIT))
    return torch.minimum(sigma2, theta2 * math.exp(LIMIT))


def _variance_value(theta: Tensor, log_sigma2: Tensor) -> tuple[Tensor, Tensor]:
    value, sigma2 = theta * theta, log_sigma2.exp()
    low = value * math.exp(-LIMIT)
    torch.clamp(sigma2, low, value.mul_(math.exp(LIMIT)), out=value)
    return value, sigma2.eq_(value)


def _variance_grads(grad: Tensor, theta: Tensor, _: Tensor, value: Tensor, in_range: Tensor) -> tuple[Tensor, Tensor]:
    both = grad * value
    to_log_sigma2 = both * in_range  # within the limits the variance is σ²; beyond it is proportional to θ²
    return divide(both.sub_(to_log_sigma2).mul_(2), theta), to_log_sigma2


def _kl(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    return kl.sigmoid(log_alpha(theta, log_sigma2))


def _kl_value(lead: int, theta: Tensor, log_sigma2: Tensor) -> tuple[Tensor, Tensor]:
    unclamped = (theta * theta).log_()
    torch.sub(log_sigma2, unclamped, out=unclamped)
    clamped = unclamped.clamp(-LIMIT, LIMIT)
    in_range = unclamped.eq_(clamped)
    s = torch.rsub(clamped, -K2, alpha=K3).sigmoid_()
    q = clamped.sigmoid_()
    value = total_log(q, lead).mul_(-0.5).add_(total(s, lead), alpha=K1)
    twice_slope = q.sub_(1).addcmul_(s, s, value=2 * K1 * K3).sub_(s, alpha=2 * K1 * K3).mul_(in_range)
    return value, twice_slope


def _kl_grads(grad: Tensor, theta: Tensor, _: Tensor, value: Tensor, twice_slope: Tensor) -> tuple[Tensor, Tensor]:
    return divide(twice_slope * -grad, theta), twice_slope * (0.5 * grad)


def divide(numerator: Tensor, theta: Tensor) -> Tensor:
    """Return numerator/θ in the numerator's memory, with 0/0 = 0."""
    return numerator.div_(theta).nan_to_num_(0.0, math.inf, -math.inf)


def total_log(q: Tensor, lead: int) -> Tensor:
    """Return Σ log q. Eight factors share a logarithm: q > e⁻⁸/2, so that their product does not underflow."""
    rows = flat(q, lead)
    factors = math.gcd(rows.shape[-1], 8)
    return rows.view(*rows.shape[:-1], factors, -1).prod(-2).log_().sum(-1)


VARIANCE = Op(_variance, _variance_value, _variance_grads)  # σ², clamped to [e⁻⁸θ², e⁸θ²]
KL = Op(_kl, _kl_value, _kl_grads, total=True)
