"""A training step of a mean-field linear layer, output and KL, as one autograd.Function."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.layers.fused.normal import FLOOR
from bnnbench.layers.fused.step import address, compiled, differentiable, draw, draw_gradients, to_input
from bnnbench.layers.kl import gaussian_total
from bnnbench.layers.noise import standard_normal


def mean_field_linear(
    x: Tensor, mu: Tensor, rho: Tensor, bias: Tensor | None, bias_rho: Tensor | None, prior_std: float
) -> tuple[Tensor, Tensor] | None:
    """Return a draw y ~ N(γ, δ) [B, out] and the KL to N(0, s²), or None where the plain formulas must serve.

        σ = softplus(ρ),  γ = x μᵀ + b,  δ = x² (σ²)ᵀ + σ_b²

    Args:
        x: [B, in].
        mu, rho: [out, in].
        bias, bias_rho: [out] or None.
        prior_std: s.
    """
    kernels = compiled(x, mu, rho, bias, bias_rho)
    if kernels is None or not 1e-15 < prior_std < 1e15:
        return None
    precision = prior_std**-2
    variance, bias_variance = torch.empty_like(mu, requires_grad=False), None
    kl = kernels.mean_field_forward(address(mu), address(rho), address(variance), mu.numel(), precision)
    count = mu.numel()
    if bias is not None and bias_rho is not None:
        bias_variance = torch.empty_like(bias, requires_grad=False)
        kl += kernels.mean_field_forward(
            address(bias), address(bias_rho), address(bias_variance), bias.numel(), precision
        )
        count += bias.numel()
    if not math.isfinite(kl):
        return None
    kl += count * (math.log(prior_std) - 0.5)
    noise = standard_normal(x, (len(x), len(mu)))
    return _MeanFieldLinear.apply(x, mu, rho, bias, bias_rho, noise, variance, bias_variance, kl, prior_std, kernels)


class _MeanFieldLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mu: Tensor,
        rho: Tensor,
        bias: Tensor | None,
        bias_rho: Tensor | None,
        noise: Tensor,
        variance: Tensor,
        bias_variance: Tensor | None,
        kl: float,
        prior_std: float,
        kernels: Any,
    ) -> tuple[Tensor, Tensor]:
        square = x * x
        y, std = torch.mm(x, mu.t()), torch.mm(square, variance.t())
        draw(kernels, y, std, noise, bias, bias_variance, 0.0, FLOOR)
        ctx.prior_std, ctx.kernels = prior_std, kernels
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mu, rho, bias, bias_rho, noise, square, variance, bias_variance, std)
        return y, torch.full((), kl)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_kl: Tensor | None) -> tuple[Tensor | None, ...]:
        x, mu, rho, bias, bias_rho, noise, square, variance, bias_variance, std = ctx.saved_tensors
        nothing: tuple[None, ...] = (None,) * 6
        if torch.is_grad_enabled():
            plain = _plain(noise, ctx.prior_std)
            return (*differentiable(plain, (x, mu, rho, bias, bias_rho), (grad, grad_kl)), *nothing)
        to_x = to_bias = to_bias_variance = None
        if grad is None:  # the KL alone: no gradient to x, nor to the layers before
            to_mu, to_variance = torch.zeros_like(mu), torch.zeros_like(mu)
            if bias_rho is not None:
                to_bias, to_bias_variance = torch.zeros_like(bias), torch.zeros_like(bias)
        else:
            grad = grad.contiguous()
            to_delta, to_bias, to_bias_variance = draw_gradients(ctx.kernels, grad, noise, std, math.sqrt(FLOOR))
            if ctx.needs_input_grad[0]:
                to_x = to_input(x, grad, mu, to_delta, variance)
            to_mu, to_variance = torch.mm(grad.t(), x), torch.mm(to_delta.t(), square)
        weight, precision = address(grad_kl), ctx.prior_std**-2
        ctx.kernels.mean_field_backward(
            *(address(t) for t in (mu, rho, variance, to_mu, to_variance)), mu.numel(), weight, precision
        )
        if bias_rho is not None:
            ctx.kernels.mean_field_backward(
                *(address(t) for t in (bias, bias_rho, bias_variance, to_bias, to_bias_variance)),
                bias.numel(),
                weight,
                precision,
            )
        to_bias_rho = None if bias_rho is None else to_bias_variance
        return to_x, to_mu, to_variance, None if bias is None else to_bias, to_bias_rho, *nothing


def _plain(noise: Tensor, prior_std: float) -> Any:
    """Return the same function of x, μ, ρ, b and ρ_b in elementary operations."""

    def plain(
        x: Tensor, mu: Tensor, rho: Tensor, bias: Tensor | None, bias_rho: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        std = F.softplus(rho)
        kl, bias_variance = gaussian_total(mu, std, prior_std), None
        if bias is not None and bias_rho is not None:
            bias_std = F.softplus(bias_rho)
            kl, bias_variance = kl + gaussian_total(bias, bias_std, prior_std), bias_std.square()
        delta = F.linear(x.square(), std.square(), bias_variance).clamp_min(FLOOR)
        return F.linear(x, mu, bias) + delta.sqrt() * noise, kl

    return plain
