"""The functions of μ and ρ that a mean-field layer evaluates at every step, σ = log(1 + exp ρ)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.layers.fused.ops import Op, total, total_of_squares
from bnnbench.layers.kl import gaussian_kl


def _softplus(rho: Tensor) -> tuple[Tensor, Tensor]:
    """Return σ and dσ/dρ = u/(1 + u), u = exp ρ."""
    u = rho.exp().clamp_max_(1e38)  # finite; where it matters σ is ρ
    std = torch.log1p(u)
    torch.maximum(std, rho, out=std)
    return std, u.div_(u + 1)


def _std_grads(grad: Tensor, rho: Tensor, std: Tensor, slope: Tensor) -> tuple[Tensor]:
    return (grad * slope,)


def _variance(rho: Tensor) -> Tensor:
    return F.softplus(rho).square()


def _variance_value(rho: Tensor) -> tuple[Tensor, Tensor]:
    std, slope = _softplus(rho)
    slope.mul_(std)
    return std.mul_(std), slope


def _variance_grads(grad: Tensor, rho: Tensor, variance: Tensor, half: Tensor) -> tuple[Tensor]:
    return ((grad * half).mul_(2),)


STD = Op(F.softplus, _softplus, _std_grads)  # σ
VARIANCE = Op(_variance, _variance_value, _variance_grads)  # σ²


def kl(prior_std: float) -> Op:
    """Return the sum of KL(N(μ, σ²) ‖ N(0, s²)) as a function of μ and ρ.

    Its slopes are μ/s² and (σ/s² − 1/σ) dσ/dρ.
    """
    precision = prior_std**-2

    def plain(mean: Tensor, rho: Tensor) -> Tensor:
        return gaussian_kl(mean, F.softplus(rho), prior_std)

    def value(lead: int, mean: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
        std, slope = _softplus(rho)
        squares = total_of_squares(mean, lead).add_(total_of_squares(std, lead))
        fall = std.reciprocal().sub_(std, alpha=precision).mul_(slope)
        constant = (math.log(prior_std) - 0.5) * (std.numel() // max(squares.numel(), 1))
        return squares.mul_(0.5 * precision).sub_(total(std.log_(), lead)).add_(constant), fall

    def grads(grad: Tensor, mean: Tensor, rho: Tensor, value: Tensor, fall: Tensor) -> tuple[Tensor, Tensor]:
        return mean * (precision * grad), fall * -grad

    return Op(plain, value, grads, total=True)
