"""A training step of a linear layer with variational dropout of type B, output and KL, as one autograd.Function."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.layers import kl as forms
from bnnbench.layers.fused.alpha import at_most
from bnnbench.layers.fused.normal import FLOOR
from bnnbench.layers.fused.step import address, compiled, differentiable, draw, draw_gradients, to_input
from bnnbench.layers.noise import standard_normal


class Form(NamedTuple):
    """c − h log α − c₁α − c₂α² − c₃α³, or with `smooth` the sigmoid KL."""

    smooth: bool = False
    half: float = 0.0
    c1: float = 0.0
    c2: float = 0.0
    c3: float = 0.0

    @property
    def constant(self) -> float:
        """c; 0 where there is no prior, and in the sigmoid form."""
        return forms.CONSTANT if self.half else 0.0


FORMS = {
    "none": Form(),
    "bound": Form(half=0.5),
    "cubic": Form(half=0.5, c1=forms.C1, c2=forms.C2, c3=forms.C3),
    "sigmoid": Form(smooth=True),
}


def vd_linear(
    x: Tensor, theta: Tensor, log_alpha: Tensor, bias: Tensor | None, limit: float, form: str
) -> tuple[Tensor, Tensor] | None:
    """Return a draw y ~ N(γ, δ) [B, out] and the KL, or None where the plain formulas must serve.

        γ = x θᵀ + b,  δ = x² (αθ²)ᵀ  or, for an α that weights share, (αx²) (θ²)ᵀ

    Args:
        x: [B, in].
        theta: θ [out, in].
        log_alpha: log α, [], [in] or [out, in].
        bias: [out] or None.
        limit: upper limit of log α, which may be infinite.
        form: of the KL, a key of `FORMS`.
    """
    kernels = compiled(x, theta, log_alpha, bias)
    if kernels is None:
        return None
    terms, size = FORMS[form], log_alpha.numel()
    each = log_alpha.dim() == 2
    # αθ² for every weight, or the α that they share.
    scale = torch.empty_like(log_alpha, requires_grad=False)
    kl = kernels.alpha_forward(address(theta) if each else 0, address(log_alpha), address(scale), size, limit, *terms)
    if not math.isfinite(kl):
        return None
    kl = (kl + size * terms.constant) * (theta.numel() / max(size, 1))
    noise = standard_normal(x, (len(x), len(theta)))
    return _VDLinear.apply(x, theta, log_alpha, bias, noise, scale, kl, limit, form, kernels)


class _VDLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        theta: Tensor,
        log_alpha: Tensor,
        bias: Tensor | None,
        noise: Tensor,
        scale: Tensor,
        kl: float,
        limit: float,
        form: str,
        kernels: Any,
    ) -> tuple[Tensor, Tensor]:
        square = x * x
        if log_alpha.dim() == 2:
            variance = scale
        else:
            variance = theta * theta
            square.mul_(scale)
        y, std = torch.mm(x, theta.t()), torch.mm(square, variance.t())
        draw(kernels, y, std, noise, bias, None, 0.0, FLOOR)
        ctx.limit, ctx.form, ctx.kernels = limit, form, kernels
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, theta, log_alpha, bias, noise, scale, square, variance, std)
        return y, torch.full((), kl)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_kl: Tensor | None) -> tuple[Tensor | None, ...]:
        x, theta, log_alpha, bias, noise, scale, square, variance, std = ctx.saved_tensors
        kernels, each = ctx.kernels, log_alpha.dim() == 2
        nothing: tuple[None, ...] = (None,) * 6
        if torch.is_grad_enabled():
            plain = _plain(noise, ctx.limit, ctx.form)
            return (*differentiable(plain, (x, theta, log_alpha, bias), (grad, grad_kl)), *nothing)
        to_x = to_theta = to_bias = None
        to_log_alpha = torch.zeros_like(log_alpha)
        if grad is not None:
            grad = grad.contiguous()
            to_delta, to_bias, _ = draw_gradients(kernels, grad, noise, std, math.sqrt(FLOOR))
            to_theta, to_variance = torch.mm(grad.t(), x), torch.mm(to_delta.t(), square)
            if ctx.needs_input_grad[0]:
                to_x = to_input(x if each else x * scale, grad, theta, to_delta, variance)
            if each:
                to_log_alpha = to_variance
            else:
                of_inputs = x.new_empty(x.shape[1])
                kernels.unit_backward(*(address(t) for t in (theta, to_theta, to_variance, of_inputs)), *theta.shape)
                to_log_alpha = of_inputs if log_alpha.dim() else of_inputs.sum()
        elif each:
            to_theta = torch.zeros_like(theta)
        size = log_alpha.numel()
        kernels.alpha_backward(
            address(theta) if each else 0,
            address(log_alpha),
            address(to_theta) if each else 0,
            address(to_log_alpha),
            size,
            address(grad_kl),
            theta.numel() / max(size, 1),
            ctx.limit,
            *FORMS[ctx.form],
        )
        return to_x, None if grad is None else to_theta, to_log_alpha, None if bias is None else to_bias, *nothing


def _plain(noise: Tensor, limit: float, form: str) -> Any:
    """Return the same function of x, θ, log α and b in elementary operations."""

    def plain(x: Tensor, theta: Tensor, log_alpha: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        delta = F.linear(x.square(), at_most(log_alpha, limit).exp() * theta.square()).clamp_min(FLOOR)
        y = F.linear(x, theta, bias) + delta.sqrt() * noise
        if form == "none":
            return y, 0 * log_alpha.sum()
        values = getattr(forms, form)(at_most(log_alpha, limit))
        return y, values.sum() * (theta.numel() / max(log_alpha.numel(), 1))

    return plain
