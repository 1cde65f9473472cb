"""The parts that training steps of linear layers share: when a compiled one applies, the draw, second derivatives.

A layer's compiled step is one autograd.Function for output and KL. The elementwise work on its weights is one loop
forward and one backward, that on its pre-activations another; the matrix products are torch's. It serves an ordinary
training step on a CPU in single precision; everything else takes the plain formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from bnnbench.kernels import loops
from bnnbench.layers.base import HasKL, StochasticLayer
from bnnbench.layers.fused.ops import plain_gradients, transforms_active
from bnnbench.layers.joint_kl import joint_kl


def compiled(x: Tensor, *parameters: Tensor | None) -> ModuleType | None:
    """Return the compiled loops, or None where the plain formulas must serve.

    Args:
        x: the layer's input.
        parameters: of the layer; None for one that it has not.
    """
    if torch.compiler.is_compiling() or x.dim() != 2 or not torch.is_grad_enabled() or transforms_active():
        return None
    if torch.is_autocast_enabled("cpu") or not all(_is_plain(t) for t in (x, *parameters) if t is not None):
        return None
    return loops("layers")


def _is_plain(t: Tensor) -> bool:
    kind = type(t)  # not a subclass, whose memory may hold something else
    return (kind is nn.Parameter or kind is Tensor) and t.dtype is torch.float32 and t.is_cpu and t.is_contiguous()


def prepare_layers(network: nn.Module) -> None:
    """Compile the loops that training steps of `network` need, by a step of each kind of layer on a single weight."""
    kinds = {type(m) for m in network.modules() if isinstance(m, StochasticLayer) and m.compiles and not m.is_conv}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        for kind in kinds:
            layer = kind(nn.Linear(1, 1))
            with joint_kl():
                (layer(torch.ones(1, 1)).sum() + cast(HasKL, layer).kl()).backward()


def address(t: Tensor | None) -> int:
    """Return the address of the first element, 0 of None."""
    return 0 if t is None else t.data_ptr()


def draw(
    kernels: ModuleType,
    mean: Tensor,
    variance: Tensor,
    noise: Tensor,
    bias: Tensor | None,
    bias_variance: Tensor | None,
    added: float,
    floor: float,
) -> None:
    """Turn γ without its bias into the draw, and the variance into √δ, in place; see `kernels.layers.draw_forward`."""
    kernels.draw_forward(*(address(t) for t in (mean, variance, noise, bias, bias_variance)), *mean.shape, added, floor)


def draw_gradients(
    kernels: ModuleType, grad: Tensor, noise: Tensor, std: Tensor, root: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients to δ [B, out], to the bias and to its variance [out]; see `kernels.layers.draw_backward`."""
    to_variance, sums = torch.empty_like(std), std.new_empty(2, std.shape[1])
    to_bias, to_bias_variance = sums
    kernels.draw_backward(
        *(address(t) for t in (grad, noise, std, to_variance, to_bias, to_bias_variance)), *std.shape, root
    )
    return to_variance, to_bias, to_bias_variance


def to_input(x: Tensor, to_mean: Tensor, weight: Tensor, to_variance: Tensor, variance: Tensor) -> Tensor:
    """Return the gradient to x through γ = x Wᵀ and δ = x² Vᵀ."""
    return torch.addcmul(torch.mm(to_mean, weight), x, torch.mm(to_variance, variance), value=2)


def differentiable(plain: Callable[..., Any], tensors: tuple[Tensor | None, ...], grads: Any) -> list[Tensor | None]:
    """Return the gradients of the plain formula to all tensors, differentiable themselves; None for None."""
    given = [t for t in tensors if t is not None]

    def of_given(*some: Tensor) -> Any:
        rest = iter(some)
        return plain(*(None if t is None else next(rest) for t in tensors))

    gradients = iter(plain_gradients(of_given, tuple(given), grads))
    return [None if t is None else next(gradients) for t in tensors]
