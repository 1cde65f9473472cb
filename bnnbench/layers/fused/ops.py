"""Elementwise functions of a layer's weights with gradients in closed form: few passes over memory, both ways.

A layer has far more weights than activations, and twenty elementwise operations on its weights take longer than its
matrix products. Plain autograd makes a tensor for every intermediate result and visits all of them again in the
backward pass; an `Op` does the same in few operations, in place wherever it can. On a CPU, operations that read or make
a boolean mask (where, masked_fill, comparisons, the gradient of clamp) are five to twenty times slower than arithmetic:
masks are 0 and 1 in the weights' own dtype, by comparison in place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Op(NamedTuple):
    """A function f of tensors of one shape: elementwise or, with `total`, the sum of its elements.

    Attributes:
        plain: (x₁, …, xₙ) → f elementwise, as the papers write it, shape of the xᵢ. It defines the function, and second
            derivatives go through it.
        value: (x₁, …, xₙ) → (f, saved₁, …), the same in fewer operations, with the tensors that `grads` needs. With
            `total` its first argument is the number of leading axes that f keeps, those of stacked networks.
        grads: (grad, x₁, …, xₙ, f, saved₁, …) → the gradients, in the shapes of the xᵢ. It must not change its
            arguments.
        total: whether `value` sums.
    """

    plain: Callable[..., Tensor]
    value: Callable[..., tuple[Tensor, ...]]
    grads: Callable[..., tuple[Tensor | None, ...]]
    total: bool = False


def fused(op: Op, *tensors: Tensor) -> Tensor:
    """Return op(x₁, …, xₙ), differentiable any number of times and under the transforms of torch.func.

    Args:
        op: the function.
        tensors: of one shape; under ``torch.vmap`` all may be stacked, or some.
    """
    if torch.compiler.is_compiling():  # the compiler fuses the plain formula by itself
        value = op.plain(*tensors)
        return value.sum() if op.total else value
    if transforms_active():
        return _Transformed.apply(op, 0, *tensors)[0]
    return _Fused.apply(op, 0, *tensors)


def flat(values: Tensor, lead: int) -> Tensor:
    """Return the values with all axes after the first `lead` flattened."""
    return values.reshape(*values.shape[:lead], -1)


def total(values: Tensor, lead: int) -> Tensor:
    """Return the sums over all axes after the first `lead`."""
    return flat(values, lead).sum(-1) if lead else values.sum()


def total_of_squares(values: Tensor, lead: int) -> Tensor:
    """Return the sums of the squares over all axes after the first `lead`."""
    rows = flat(values, lead)
    if not torch.is_autocast_enabled(rows.device.type):
        return torch.linalg.vecdot(rows, rows)
    with torch.autocast(rows.device.type, enabled=False):  # dot products are on its list of half-precision operations
        return torch.linalg.vecdot(rows, rows)


def plain_gradients(
    plain: Callable[..., Any], tensors: tuple[Tensor, ...], grads: Tensor | tuple[Tensor | None, ...]
) -> tuple[Tensor, ...]:
    """Return the gradients of the plain formula, differentiable themselves."""
    values, pull = torch.func.vjp(plain, *tensors)[:2]
    if isinstance(grads, Tensor):
        return pull(grads.expand_as(values))
    return pull(tuple(torch.zeros_like(v) if g is None else g for v, g in zip(values, grads, strict=True)))


class _WithGradients(torch.autograd.Function):
    """The backward pass of an `Op`."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        op, saved = ctx.op, ctx.saved_tensors
        if grad is None:
            return (None,) * (2 + ctx.count)
        if ctx.lead and op.total:
            grad = grad.reshape(grad.shape + (1,) * (saved[0].dim() - ctx.lead))
        if not torch.is_grad_enabled():
            return None, None, *op.grads(grad, *saved)
        return None, None, *plain_gradients(op.plain, saved[: ctx.count], grad)


class _Fused(_WithGradients):
    """An `Op` outside the transforms of torch.func: half the overhead, the dominant cost of a small layer."""

    @staticmethod
    def forward(ctx: Any, op: Op, lead: int, *tensors: Tensor) -> Tensor:
        output = op.value(lead, *tensors) if op.total else op.value(*tensors)
        _save(ctx, op, lead, tensors, output)
        return output[0]


class _Transformed(_WithGradients):
    """An `Op` under vmap, grad and the like, which require saved tensors to be outputs."""

    @staticmethod
    def forward(op: Op, lead: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return op.value(lead, *tensors) if op.total else op.value(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        op, lead, *tensors = inputs
        ctx.mark_non_differentiable(*output[1:])
        _save(ctx, op, lead, tuple(tensors), output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], op: Op, lead: int, *tensors: Tensor) -> tuple[Any, Any]:
        stacked = (
            x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0)
            for x, axis in zip(tensors, in_dims[2:], strict=True)
        )
        output = _Transformed.apply(op, lead + 1, *stacked)
        return output, (0,) * len(output)


def _save(ctx: Any, op: Op, lead: int, tensors: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.op, ctx.lead, ctx.count = op, lead, len(tensors)
    ctx.set_materialize_grads(False)  # it would make zeros for the saved tensors
    ctx.save_for_backward(*tensors, *output)


# Whether a transform is active; where torch does not say, the general way serves.
transforms_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
# torch reads the signature at every call and would recompute it each time.
_Transformed.forward.__signature__ = inspect.signature(_Transformed.forward)  # type: ignore[attr-defined]
