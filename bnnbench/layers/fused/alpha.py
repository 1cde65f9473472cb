"""The functions of θ and log α that variational dropout evaluates at every step.

log α is held at or below a limit, and its slope is projected: beyond the limit only what leads a descent step back
acts. A plain clamp has no slope there, and an α that once stepped over its limit would stay for good.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bnnbench.layers.fused.ops import Op, total, total_of_squares
from bnnbench.layers.kl import C1, C2, C3, CONSTANT, cubic


def at_most(log_alpha: Tensor, limit: float) -> Tensor:
    """Return min(log α, limit) with the projected slope."""
    return log_alpha if math.isinf(limit) else _AtMost.apply(log_alpha, limit)


def rate(limit: float) -> Op:
    """Return α of log α, whose slope is α."""

    def plain(log_alpha: Tensor) -> Tensor:
        return at_most(log_alpha, limit).exp()

    def value(log_alpha: Tensor) -> tuple[Tensor]:
        return (_alpha(log_alpha, limit),)

    def grads(grad: Tensor, log_alpha: Tensor, alpha: Tensor) -> tuple[Tensor]:
        return (_projected(grad * alpha, log_alpha, limit),)

    return Op(plain, value, grads)


def variance(limit: float) -> Op:
    """Return αθ² of θ and log α, whose slopes are 2αθ and αθ²."""

    def plain(theta: Tensor, log_alpha: Tensor) -> Tensor:
        return at_most(log_alpha, limit).exp() * theta.square()

    def value(theta: Tensor, log_alpha: Tensor) -> tuple[Tensor, Tensor]:
        product = _alpha(log_alpha, limit).mul_(theta)
        return product * theta, product

    def grads(grad: Tensor, theta: Tensor, log_alpha: Tensor, _: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        half = grad * product
        to_log_alpha = _projected(half * theta, log_alpha, limit)
        return half.mul_(2), to_log_alpha

    return Op(plain, value, grads)


def _product(theta: Tensor, alpha: Tensor) -> Tensor:
    return alpha * theta.square()


def _product_value(theta: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    product = theta * alpha
    return product * theta, product


def _product_grads(grad: Tensor, theta: Tensor, alpha: Tensor, _: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    return (grad * product).mul_(2), (grad * theta).mul_(theta)


PRODUCT = Op(_product, _product_value, _product_grads)  # αθ² of θ and α, for an α that weights share


def cubic_kl(limit: float) -> Op:
    """Return the sum of `bnnbench.layers.kl.cubic` as a function of log α.

    The slope is −½ − r with r = c₁α + 2c₂α² + 3c₃α³. The sum of r gives that of the fit with less work:
    Σ c₁α + c₂α² + c₃α³ = ⅓ (Σ r + 2c₁ Σ α + c₂ Σ α²).
    """

    def plain(log_alpha: Tensor) -> Tensor:
        return cubic(at_most(log_alpha, limit))

    def value(lead: int, log_alpha: Tensor) -> tuple[Tensor, Tensor]:
        alpha = log_alpha.clamp_max(limit)
        held = total(alpha, lead)
        alpha.exp_()
        r = (alpha * (3 * C3)).add_(2 * C2).mul_(alpha).add_(C1).mul_(alpha)
        fit = total(r, lead).add_(total(alpha, lead), alpha=2 * C1).add_(total_of_squares(alpha, lead), alpha=C2)
        constant = CONSTANT * (r.numel() // max(held.numel(), 1))
        return held.mul_(-0.5).sub_(fit, alpha=1 / 3).add_(constant), r.add_(0.5)

    def grads(grad: Tensor, log_alpha: Tensor, _: Tensor, fall: Tensor) -> tuple[Tensor]:
        return (_projected(fall * -grad, log_alpha, limit),)

    return Op(plain, value, grads, total=True)


def _alpha(log_alpha: Tensor, limit: float) -> Tensor:
    return log_alpha.exp() if math.isinf(limit) else log_alpha.exp().clamp_max_(math.exp(limit))


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
