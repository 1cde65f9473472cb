"""Functions of θ and log α: the variance αθ² of the weights, and the sums and elements of the KL.

log α has an upper limit with a projected gradient: above the limit only a gradient acts whose descent step lowers
log α. A plain clamp has none there, and an α that once stepped over its limit would stay for good.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bnnbench.layers import kl
from bnnbench.layers.fused.ops import Op, total, total_of_squares
from bnnbench.layers.kl import C1, C2, C3, CONSTANT, K1, K2, K3


def at_most(log_alpha: Tensor, limit: float) -> Tensor:
    """Return min(log α, limit) with the projected gradient."""
    return log_alpha if math.isinf(limit) else _AtMost.apply(log_alpha, limit)


def alpha(limit: float) -> Op:
    """Return α as a function of log α, whose gradient is α."""

    def plain(log_alpha: Tensor) -> Tensor:
        return at_most(log_alpha, limit).exp()

    def value(log_alpha: Tensor) -> tuple[Tensor]:
        return (_alpha(log_alpha, limit),)

    def grads(grad: Tensor, log_alpha: Tensor, alpha: Tensor) -> tuple[Tensor]:
        return (_projected(grad * alpha, log_alpha, limit),)

    return Op(plain, value, grads)


def variance(limit: float) -> Op:
    """Return αθ² as a function of θ and log α, whose gradients are 2αθ and αθ²."""

    def plain(theta: Tensor, log_alpha: Tensor) -> Tensor:
        return at_most(log_alpha, limit).exp() * theta.square()

    def value(theta: Tensor, log_alpha: Tensor) -> tuple[Tensor, Tensor]:
        alpha_theta = _alpha(log_alpha, limit).mul_(theta)
        return alpha_theta * theta, alpha_theta

    def grads(grad: Tensor, theta: Tensor, log_alpha: Tensor, _: Tensor, alpha_theta: Tensor) -> tuple[Tensor, Tensor]:
        half = grad * alpha_theta
        to_log_alpha = _projected(half * theta, log_alpha, limit)
        return half.mul_(2), to_log_alpha

    return Op(plain, value, grads)


def _scaled_square(theta: Tensor, alpha: Tensor) -> Tensor:
    return alpha * theta.square()


def _scaled_square_value(theta: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    alpha_theta = theta * alpha
    return alpha_theta * theta, alpha_theta


def _scaled_square_grads(
    grad: Tensor, theta: Tensor, alpha: Tensor, _: Tensor, alpha_theta: Tensor
) -> tuple[Tensor, Tensor]:
    return (grad * alpha_theta).mul_(2), (grad * theta).mul_(theta)


SCALED_SQUARE = Op(_scaled_square, _scaled_square_value, _scaled_square_grads)  # αθ², for an α that weights share


def cubic_kl(limit: float) -> Op:
    """Return the sum of `bnnbench.layers.kl.cubic` as a function of log α.

    The derivative is −½ − r with r = c₁α + 2c₂α² + 3c₃α³. The sum of r gives that of the fit with less work:
    Σ c₁α + c₂α² + c₃α³ = ⅓ (Σ r + 2c₁ Σ α + c₂ Σ α²).
    """

    def plain(log_alpha: Tensor) -> Tensor:
        return kl.cubic(at_most(log_alpha, limit))

    def value(lead: int, log_alpha: Tensor) -> tuple[Tensor, Tensor]:
        alpha = log_alpha.clamp_max(limit)
        log_sum = total(alpha, lead)
        alpha.exp_()
        r = (alpha * (3 * C3)).add_(2 * C2).mul_(alpha).add_(C1).mul_(alpha)
        fit = total(r, lead).add_(total(alpha, lead), alpha=2 * C1).add_(total_of_squares(alpha, lead), alpha=C2)
        constant = CONSTANT * (r.numel() // max(log_sum.numel(), 1))
        return log_sum.mul_(-0.5).sub_(fit, alpha=1 / 3).add_(constant), r.add_(0.5)

    def grads(grad: Tensor, log_alpha: Tensor, _: Tensor, minus_slope: Tensor) -> tuple[Tensor]:
        return (_projected(minus_slope * -grad, log_alpha, limit),)

    return Op(plain, value, grads, total=True)


def _sigmoid_value(log_alpha: Tensor) -> tuple[Tensor, Tensor]:
    # The derivative is −k₁k₃ s (1 − s) − ½ u/(1 + u), with s the logistic function's complement and u = 1/α.
    s = torch.rsub(log_alpha, -K2, alpha=K3).sigmoid_()
    u = log_alpha.neg().exp_().clamp_max_(torch.finfo(log_alpha.dtype).max)
    softplus = torch.log1p(u)
    torch.maximum(softplus, -log_alpha, out=softplus)  # for an infinite u
    minus_slope = u.div_(u + 1).mul_(0.5).addcmul_(s, s, value=-K1 * K3).add_(s, alpha=K1 * K3)
    return softplus.mul_(0.5).add_(s, alpha=K1), minus_slope


def _sigmoid_grads(grad: Tensor, log_alpha: Tensor, value: Tensor, minus_slope: Tensor) -> tuple[Tensor]:
    return (minus_slope * -grad,)


SIGMOID_KL = Op(kl.sigmoid, _sigmoid_value, _sigmoid_grads)  # elementwise


def _alpha(log_alpha: Tensor, limit: float) -> Tensor:
    alpha = log_alpha.exp()
    return alpha if math.isinf(limit) else alpha.clamp_max_(math.exp(limit))


def _projected(grad: Tensor, log_alpha: Tensor, limit: float) -> Tensor:
    """Return `grad` where log α is below its limit or where a descent step lowers it, else 0."""
    if math.isinf(limit):
        return grad
    below = torch.ops.aten.hardtanh_backward(grad, log_alpha, -math.inf, limit)  # in one pass and without a mask
    return torch.maximum(below, grad, out=below)


class _AtMost(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, limit: float) -> Tensor:
        return x.clamp_max(limit)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        x, ctx.limit = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return torch.where((x < ctx.limit) | (grad > 0), grad, 0.0), None
