"""A training step of a Sparse VD linear layer, output and KL, as one autograd.Function."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.layers.fused import sparse
from bnnbench.layers.fused.sparse import TIE
from bnnbench.layers.fused.step import address, compiled, differentiable, draw, draw_gradients, to_input
from bnnbench.layers.noise import standard_normal

ROOT = 1e-8  # added to a variance under the root


def sparse_linear(
    x: Tensor, theta: Tensor, log_sigma2: Tensor, bias: Tensor | None, threshold: float | None
) -> tuple[Tensor, Tensor] | None:
    """Return a draw y ~ N(γ, δ) [B, out] and the KL, or None where the plain formulas must serve.

        γ = x θᵀ + b,  δ = x² (σ²)ᵀ + 1e-8

    Args:
        x: [B, in].
        theta, log_sigma2: θ and log σ² [out, in].
        bias: [out] or None.
        threshold: the log α above which a weight has mean 0, or None to keep all means.
    """
    kernels = compiled(x, theta, log_sigma2, bias)
    if kernels is None:
        return None
    variance, slope, *kept = (
        torch.empty_like(theta, requires_grad=False) for _ in range(2 if threshold is None else 3)
    )
    mask = kept[0] if kept else None
    kl = kernels.sparse_forward(
        *(address(t) for t in (theta, log_sigma2, variance, slope, mask)), theta.numel(), threshold or 0.0
    )
    if not math.isfinite(kl):
        return None
    noise = standard_normal(x, (len(x), len(theta)))
    return _SparseLinear.apply(x, theta, log_sigma2, bias, noise, variance, slope, mask, kl, threshold, kernels)


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        theta: Tensor,
        log_sigma2: Tensor,
        bias: Tensor | None,
        noise: Tensor,
        variance: Tensor,
        slope: Tensor,
        kept: Tensor | None,
        kl: float,
        threshold: float | None,
        kernels: Any,
    ) -> tuple[Tensor, Tensor]:
        square = x * x
        y, std = torch.mm(x, (theta if kept is None else theta * kept).t()), torch.mm(square, variance.t())
        draw(kernels, y, std, noise, bias, None, ROOT, 0.0)
        ctx.threshold, ctx.kernels = threshold, kernels
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, theta, log_sigma2, bias, noise, square, variance, slope, kept, std)
        return y, torch.full((), kl)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_kl: Tensor | None) -> tuple[Tensor | None, ...]:
        x, theta, log_sigma2, bias, noise, square, variance, slope, kept, std = ctx.saved_tensors
        nothing: tuple[None, ...] = (None,) * 7
        if torch.is_grad_enabled():
            plain = _plain(noise, ctx.threshold)
            return (*differentiable(plain, (x, theta, log_sigma2, bias), (grad, grad_kl)), *nothing)
        to_x = to_bias = None
        if grad is None:  # the KL alone: no gradient to x, nor to the layers before
            to_theta, to_variance = torch.zeros_like(theta), torch.zeros_like(theta)
        else:
            grad = grad.contiguous()
            to_delta, to_bias, _ = draw_gradients(ctx.kernels, grad, noise, std, 0.0)
            if ctx.needs_input_grad[0]:
                to_x = to_input(x, grad, theta if kept is None else theta * kept, to_delta, variance)
            to_theta, to_variance = torch.mm(grad.t(), x), torch.mm(to_delta.t(), square)
            if kept is not None:
                to_theta.mul_(kept)
        ctx.kernels.sparse_backward(
            *(address(t) for t in (theta, variance, slope, to_theta, to_variance)), theta.numel(), address(grad_kl)
        )
        return to_x, to_theta, to_variance, None if bias is None else to_bias, *nothing


def _plain(noise: Tensor, threshold: float | None) -> Any:
    """Return the same function of x, θ, log σ² and b in elementary operations."""

    def plain(x: Tensor, theta: Tensor, log_sigma2: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        variance = sparse.VARIANCE.plain(theta, log_sigma2)
        weight = theta
        if threshold is not None:
            weight = theta * (sparse.log_alpha(theta, log_sigma2) - threshold <= TIE)
        std = (F.linear(x.square(), variance) + ROOT).sqrt()
        return F.linear(x, weight, bias) + std * noise, sparse.KL.plain(theta, log_sigma2).sum()

    return plain
