"""The functions of (θ, log σ²) that Sparse VD evaluates at every step: the variance and the KL.

log α = log σ² − log θ² is held in [−8, 8]. With

    q = σ(log α) = σ²/(σ² + θ²),    s = σ(−k₂ − k₃ log α)

the KL is k₁ s − ½ log q, and its slope to log α is −k₁k₃ s (1 − s) − ½ (1 − q) within the limits and 0 beyond. The
slope to log σ² is the same, that to θ is −2/θ times as much: 0 for θ = 0, which lies beyond.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bnnbench.layers.fused.ops import Op, flat, total
from bnnbench.layers.kl import K1, K2, K3, SIGMOID

LIMIT = 8.0  # log α is held in [−8, 8]


def log_alpha(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    """Return log σ² − log θ², held in [−8, 8]; 8 for a θ of 0, whatever its σ²."""
    theta2 = theta.square()
    tiny = torch.finfo(theta.dtype).tiny  # for a finite slope
    held = (log_sigma2 - (theta2 + tiny).log()).clamp(-LIMIT, LIMIT)
    return torch.where(theta2 > 0, held, LIMIT)


def _variance(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    # exp(log α) θ² without the logarithm of a θ that may be 0: within the limits σ² itself.
    theta2 = theta.square()
    highest = math.log(torch.finfo(theta.dtype).max) - 1  # the slope of an infinite exponential is NaN, 0 times it too
    sigma2 = torch.maximum(log_sigma2.clamp_max(highest).exp(), theta2 * math.exp(-LIMIT))
    return torch.minimum(sigma2, theta2 * math.exp(LIMIT))


def _variance_value(theta: Tensor, log_sigma2: Tensor) -> tuple[Tensor, Tensor]:
    value, sigma2 = theta * theta, log_sigma2.exp()
    low = value * math.exp(-LIMIT)
    torch.clamp(sigma2, low, value.mul_(math.exp(LIMIT)), out=value)
    return value, sigma2.eq_(value)


def _variance_grads(grad: Tensor, theta: Tensor, _: Tensor, value: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    both = grad * value
    to_log_sigma2 = both * inside  # inside the limits the variance is σ²; beyond it goes as θ²
    return over(both.sub_(to_log_sigma2).mul_(2), theta), to_log_sigma2


def _kl(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    return SIGMOID.plain(log_alpha(theta, log_sigma2))


def _kl_value(lead: int, theta: Tensor, log_sigma2: Tensor) -> tuple[Tensor, Tensor]:
    free = (theta * theta).log_()
    torch.sub(log_sigma2, free, out=free)
    held = free.clamp(-LIMIT, LIMIT)
    inside = free.eq_(held)
    s = torch.rsub(held, -K2, alpha=K3).sigmoid_()
    q = held.sigmoid_()
    value = total_log(q, lead).mul_(-0.5).add_(total(s, lead), alpha=K1)
    twice_slope = q.sub_(1).addcmul_(s, s, value=2 * K1 * K3).sub_(s, alpha=2 * K1 * K3).mul_(inside)
    return value, twice_slope


def _kl_grads(grad: Tensor, theta: Tensor, _: Tensor, value: Tensor, twice_slope: Tensor) -> tuple[Tensor, Tensor]:
    return over(twice_slope * -grad, theta), twice_slope * (0.5 * grad)


def over(numerator: Tensor, theta: Tensor) -> Tensor:
    """Return numerator/θ in the numerator's memory, and 0 for 0/0."""
    return numerator.div_(theta).nan_to_num_(0.0, math.inf, -math.inf)


def total_log(q: Tensor, lead: int) -> Tensor:
    """Return Σ log q. Eight factors share a logarithm: q > e⁻⁸/2, so that their product does not underflow."""
    rows = flat(q, lead)
    together = math.gcd(rows.shape[-1], 8)
    return rows.view(*rows.shape[:-1], together, -1).prod(-2).log_().sum(-1)


VARIANCE = Op(_variance, _variance_value, _variance_grads)  # σ², held in [e⁻⁸θ², e⁸θ²]
KL = Op(_kl, _kl_value, _kl_grads, total=True)


def kept_weight(threshold: float) -> Op:
    """Return θ where log α is at or below the threshold, else 0, as a function of θ and σ².

    The condition is σ² < e^threshold θ² up to rounding, which needs no logarithm: at 8 only a θ of 0 is dropped.
    """
    bound = math.exp(threshold + 1e-6)

    def plain(theta: Tensor, variance: Tensor) -> Tensor:
        return theta * (variance < bound * theta.square())

    def value(theta: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        kept = (theta * theta).mul_(bound).gt_(variance)
        return theta * kept, kept

    def grads(grad: Tensor, theta: Tensor, variance: Tensor, _: Tensor, kept: Tensor) -> tuple[Tensor, None]:
        return grad * kept, None

    return Op(plain, value, grads)


def _clip(values: Tensor) -> Tensor:
    return values.clamp(-LIMIT, LIMIT)


def _clip_value(values: Tensor) -> tuple[Tensor, Tensor]:
    held = values.clamp(-LIMIT, LIMIT)
    return held, values.clone().eq_(held)


def _clip_grads(grad: Tensor, values: Tensor, held: Tensor, inside: Tensor) -> tuple[Tensor]:
    return (grad * inside,)


CLIP = Op(_clip, _clip_value, _clip_grads)  # log α held in [−8, 8]
