"""Forward and backward of a Sparse VD linear layer, output and KL, as one autograd.Function.

Both y ~ N(γ, δ) and the KL need log α of every weight. In one function they share it, its limits and the backward pass,
and gradients are accumulated in place: the cost of a small layer is the number of its operations. Base 2, because its
exponential and logarithm are the faster ones.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.layers.fused import sparse
from bnnbench.layers.fused.ops import plain_gradients, total
from bnnbench.layers.fused.sparse import LIMIT, divide, total_log
from bnnbench.layers.kl import K1, K2, K3

ROOT = 1e-8  # added to a variance under the root


class SparseLinear(torch.autograd.Function):
    """(x, θ, log σ², b, ε, threshold) → (y, KL) with y = γ + √δ ⊙ ε.

        γ = x θᵀ + b,  δ = x² (σ²)ᵀ + 1e-8

    Args of `apply`: x [B, in], θ and log σ² [out, in], b [out] or None, noise ε [B, out], and the log α above which a
    weight has mean 0, or None to keep all means. Returns y [B, out] and the KL, []. Not for the transforms of
    torch.func.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        theta: Tensor,
        log_sigma2: Tensor,
        bias: Tensor | None,
        epsilon: Tensor,
        threshold: float | None,
    ) -> tuple[Tensor, Tensor]:
        variance = theta * theta
        unclamped = variance.log2()
        torch.sub(log_sigma2, unclamped, alpha=math.log(2), out=unclamped)
        log_alpha = unclamped.clamp(-LIMIT, LIMIT)
        kept = None if threshold is None else (log_alpha - threshold).le_(1e-6)  # 1e-6 for rounding
        in_range = unclamped.eq_(log_alpha)
        s = torch.rsub(log_alpha, -K2, alpha=K3).sigmoid_()
        alpha = log_alpha.mul_(1 / math.log(2)).exp2_()
        variance.mul_(alpha)
        complement = (alpha + 1).reciprocal_()  # 1 − q
        kl = total(s, 0).mul_(K1).add_(total_log(alpha.mul_(complement), 0), alpha=-0.5)
        # −2 times the derivative of the KL by log α
        minus_twice_slope = complement.sub_((s * s).sub_(s), alpha=2 * K1 * K3).mul_(in_range)
        square = x * x
        std = torch.mm(square, variance.t()).add_(ROOT).sqrt_()
        y = F.linear(x, theta if kept is None else theta * kept, bias).addcmul_(std, epsilon)
        ctx.threshold = threshold
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            x, theta, log_sigma2, bias, epsilon, square, std, variance, in_range, minus_twice_slope, kept
        )
        return y, kl

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_kl: Tensor | None) -> tuple[Tensor | None, ...]:
        x, theta, log_sigma2, bias, epsilon, square, std, variance, in_range, minus_twice_slope, kept = (
            ctx.saved_tensors
        )
        if grad is None and grad_kl is None:
            return (None,) * 6
        if torch.is_grad_enabled():
            inputs = (x, theta, log_sigma2) if bias is None else (x, theta, log_sigma2, bias)
            gradients = plain_gradients(_plain(epsilon, ctx.threshold), inputs, (grad, grad_kl))
            return (*gradients, *[None] * (6 - len(gradients)))
        if grad is None:  # the KL alone: no gradient to x, nor to the layers before
            of_kl = minus_twice_slope * grad_kl
            return None, divide(of_kl.clone(), theta), of_kl.mul_(-0.5), None, None, None
        to_std = (grad * epsilon).div_(std)  # twice the gradient to δ
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = torch.mm(to_std, variance).mul_(x)
            to_x.addmm_(grad, theta if kept is None else theta * kept)
        to_log_variance = torch.mm(to_std.t(), square).mul_(variance)  # twice
        to_log_sigma2 = to_log_variance * in_range
        of_kl = minus_twice_slope * (0.0 if grad_kl is None else grad_kl)
        to_theta = divide(to_log_variance.sub_(to_log_sigma2).add_(of_kl), theta)
        if kept is None:
            to_theta.addmm_(grad.t(), x)
        else:
            to_theta.addcmul_(torch.mm(grad.t(), x), kept)
        to_bias = None if bias is None else grad.sum(0)
        return to_x, to_theta, to_log_sigma2.sub_(of_kl).mul_(0.5), to_bias, None, None


def _plain(epsilon: Tensor, threshold: float | None) -> Any:
    """Return the same function of x, θ, log σ² and b in elementary operations."""

    def plain(x: Tensor, theta: Tensor, log_sigma2: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        variance = sparse.VARIANCE.plain(theta, log_sigma2)
        weight = theta
        if threshold is not None:
            weight = theta * (sparse.log_alpha(theta, log_sigma2) - threshold <= 1e-6)
        std = (F.linear(x.square(), variance) + ROOT).sqrt()
        return F.linear(x, weight, bias) + std * epsilon, sparse.KL.plain(theta, log_sigma2).sum()

    return plain
