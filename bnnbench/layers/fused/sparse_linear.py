"""The training step of a linear layer with Sparse VD as one function: pre-activations and KL, forth and back.

A step needs y ~ N(γ, δ) and the KL, and both need log α of every weight. In one function they share it, the limits and
the way back, and gradients are added up where they are made: a layer of few weights costs little but the number of
operations. Base 2, because its exponential and logarithm are the faster ones.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.layers.fused import sparse
from bnnbench.layers.fused.ahead import Ahead
from bnnbench.layers.fused.ops import plain_gradients, total
from bnnbench.layers.fused.sparse import LIMIT, over, total_log
from bnnbench.layers.kl import K1, K2, K3

ROOT = 1e-8  # added to a variance under the root


class SparseLinear(torch.autograd.Function):
    """(x, θ, log σ², b, ε, threshold, ahead) → (y, KL) with y = γ + √δ ⊙ ε.

        γ = x θᵀ + b,  δ = x² (σ²)ᵀ + 1e-8

    Args of `apply`: x [B, in], θ and log σ² [out, in], b [out] or None, noise ε [B, out], and the log α above which a
    weight has mean 0, or None: no weight has; and what holds the KL until it is asked for, emptied by a backward pass.
    Not for the transforms of torch.func.
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
        ahead: Ahead | None = None,
    ) -> tuple[Tensor, Tensor]:
        variance = theta * theta
        free = variance.log2()
        torch.sub(log_sigma2, free, alpha=math.log(2), out=free)
        held = free.clamp(-LIMIT, LIMIT)
        kept = None if threshold is None else (held - threshold).le_(1e-6)  # 1e-6 for rounding
        inside = free.eq_(held)
        s = torch.rsub(held, -K2, alpha=K3).sigmoid_()
        alpha = held.mul_(1 / math.log(2)).exp2_()
        variance.mul_(alpha)
        rest = (alpha + 1).reciprocal_()  # 1 − q
        kl = total(s, 0).mul_(K1).add_(total_log(alpha.mul_(rest), 0), alpha=-0.5)
        fall = rest.sub_((s * s).sub_(s), alpha=2 * K1 * K3).mul_(inside)  # −2 times the slope of the KL to log α
        square = x * x
        std = torch.mm(square, variance.t()).add_(ROOT).sqrt_()
        y = F.linear(x, theta if kept is None else theta * kept, bias).addcmul_(std, epsilon)
        ctx.threshold = threshold
        ctx.ahead = None if ahead is None else weakref.ref(ahead)  # it holds the KL and so this: no circle
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, theta, log_sigma2, bias, epsilon, square, std, variance, inside, fall, kept)
        return y, kl

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_kl: Tensor | None) -> tuple[Tensor | None, ...]:
        x, theta, log_sigma2, bias, epsilon, square, std, variance, inside, fall, kept = ctx.saved_tensors
        ahead = None if ctx.ahead is None else ctx.ahead()
        if ahead is not None:
            ahead.drop()
        if grad is None and grad_kl is None:
            return (None,) * 7
        if torch.is_grad_enabled():
            inputs = (x, theta, log_sigma2) if bias is None else (x, theta, log_sigma2, bias)
            found = plain_gradients(_plain(epsilon, ctx.threshold), inputs, (grad, grad_kl))
            return (*found, *[None] * (7 - len(found)))
        if grad is None:  # the KL alone: nothing goes back to x, nor to the layers before
            fall_kl = fall * grad_kl
            return None, over(fall_kl.clone(), theta), fall_kl.mul_(-0.5), None, None, None, None
        to_std = (grad * epsilon).div_(std)  # the slope to δ, twice
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = torch.mm(to_std, variance).mul_(x)
            to_x.addmm_(grad, theta if kept is None else theta * kept)
        through = torch.mm(to_std.t(), square).mul_(variance)
        to_log_sigma2 = through * inside
        fall_kl = fall * (0.0 if grad_kl is None else grad_kl)
        to_theta = over(through.sub_(to_log_sigma2).add_(fall_kl), theta)
        if kept is None:
            to_theta.addmm_(grad.t(), x)
        else:
            to_theta.addcmul_(torch.mm(grad.t(), x), kept)
        to_bias = None if bias is None else grad.sum(0)
        return to_x, to_theta, to_log_sigma2.sub_(fall_kl).mul_(0.5), to_bias, None, None, None


def _plain(epsilon: Tensor, threshold: float | None) -> Any:
    """Return the same function of x, θ, log σ² and b by elementary operations."""

    def plain(x: Tensor, theta: Tensor, log_sigma2: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        variance = sparse.VARIANCE.plain(theta, log_sigma2)
        weight = theta
        if threshold is not None:
            weight = theta * (sparse.log_alpha(theta, log_sigma2) - threshold <= 1e-6)
        std = (F.linear(x.square(), variance) + ROOT).sqrt()
        return F.linear(x, weight, bias) + std * epsilon, sparse.KL.plain(theta, log_sigma2).sum()

    return plain
