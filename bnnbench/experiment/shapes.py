"""Shapes of the common operations on meta tensors, computed here.

torch computes the shapes of most operations in Python, and loads its compiler for that, which takes longer than a short
run. Whatever has no rule here, or does not fit its rule, torch answers, with an error where there is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Shape = tuple[int, ...]


class Shapes(TorchFunctionMode):
    """Within a ``with`` block operations on meta tensors have results of the right shape, without torch's compiler."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what `func` would, from its rule if there is one."""
        kwargs = kwargs or {}
        rule = RULES.get(func)
        given = args[0] if args else kwargs.get("input")
        if isinstance(given, list | tuple) and given:  # of cat
            given = given[0]
        if func is torch.where and len(args) == 3:  # the type is that of its values, of which one may be a number
            given = args[1] if isinstance(args[1], Tensor) else args[2]
        if rule is not None and isinstance(given, Tensor) and given.is_meta and given.is_floating_point():
            try:
                shape = rule(*args, **kwargs)
            except (TypeError, ValueError, IndexError):  # called in a way that the rule does not know
                shape = None
            if shape is not None:
                return given.new_empty(shape, dtype=torch.bool if func in COMPARISONS else given.dtype)
        return func(*args, **kwargs)


# A rule takes what the operation takes and returns the shape of the result, or None to leave the answer to torch.


def _same(input: Tensor, *_: Any, inplace: bool = False, **__: Any) -> Shape | None:
    return None if inplace else tuple(input.shape)


def _like(input: Tensor, *_: Any, dtype: Any = None, device: Any = None, **__: Any) -> Shape | None:
    return tuple(input.shape) if dtype is None and device is None else None


def _both(input: Tensor, other: Any, **_: Any) -> Shape | None:
    if isinstance(other, int | float):
        return tuple(input.shape)
    alike = isinstance(other, Tensor) and other.is_meta and other.dtype == input.dtype
    return _broadcast(input.shape, other.shape) if alike else None


def _product(input: Tensor, other: Any, **_: Any) -> Shape | None:
    if isinstance(other, Tensor) and other.is_meta and other.dtype == torch.bool:  # a mask
        return _broadcast(input.shape, other.shape)
    return _both(input, other)


def _where(condition: Tensor, input: Any, other: Any) -> Shape | None:
    shape: Shape | None = tuple(condition.shape) if condition.is_meta else None
    dtypes = set()
    for value in (input, other):
        if isinstance(value, Tensor) and value.is_meta and shape is not None:
            dtypes.add(value.dtype)
            shape = _broadcast(shape, value.shape)
        elif not isinstance(value, int | float):
            return None
    return shape if len(dtypes) == 1 else None


def _broadcast(one: Sequence[int], other: Sequence[int]) -> Shape | None:
    pairs = list(itertools.zip_longest(reversed(one), reversed(other), fillvalue=1))
    fits = all(m == n or 1 in (m, n) for m, n in pairs)
    return tuple(n if m == 1 else m for m, n in reversed(pairs)) if fits else None


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Shape | None:
    shape = list(tensors[0].shape)
    if (
        not -len(shape) <= dim < len(shape)
        or len({t.dtype for t in tensors}) > 1
        or not all(t.is_meta for t in tensors)
    ):
        return None
    rest = {(*t.shape[: dim % len(shape)], -1, *t.shape[dim % len(shape) + 1 :]) for t in tensors}
    if len(rest) > 1 or any(t.dim() != len(shape) for t in tensors):
        return None
    shape[dim] = sum(t.shape[dim] for t in tensors)
    return tuple(shape)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Shape | None:
    fits = weight.dim() == 2 and input.dim() > 0 and input.shape[-1] == weight.shape[1]
    if not fits or not (bias is None or bias.shape == weight.shape[:1]):
        return None
    return (*input.shape[:-1], weight.shape[0])


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Shape | None:
    if input.dim() != 4 or weight.dim() != 4 or isinstance(padding, str):
        return None
    outputs, channels, *kernel = weight.shape
    if input.shape[1] != channels * groups or outputs % groups or not (bias is None or bias.shape == (outputs,)):
        return None
    return _windows(input, outputs, kernel, _pair(stride), _pair(padding), _pair(dilation))


def _max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Shape | None:
    kernel, pad = _pair(kernel_size), _pair(padding)
    if input.dim() != 4 or ceil_mode or return_indices or any(2 * p > k for p, k in zip(pad, kernel, strict=True)):
        return None
    return _windows(input, input.shape[1], kernel, _pair(stride or kernel), pad, _pair(dilation))


def _avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *_: Any, **__: Any
) -> Shape | None:
    return _max_pool2d(input, kernel_size, stride, padding, 1, ceil_mode)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Shape | None:
    each = [t for t in (running_mean, running_var, weight, bias) if t is not None]
    fits = input.dim() > 1 and all(t.shape == input.shape[1:2] for t in each)
    return tuple(input.shape) if fits else None


def _windows(
    input: Tensor, channels: int, kernel: Sequence[int], stride: Shape, padding: Shape, dilation: Shape
) -> Shape | None:
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(input.shape[2:], kernel, stride, padding, dilation, strict=True)
    ]
    return (input.shape[0], channels, *sizes) if min(sizes) > 0 else None


def _pair(value: Any) -> Shape:
    numbers = (value, value) if isinstance(value, int) else tuple(value)
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2 or not all(isinstance(number, int) for number in numbers):
        raise ValueError(value)
    return numbers


ELEMENTWISE = (
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.mish, F.softplus, F.hardtanh, F.dropout),
    *(torch.relu, torch.tanh, torch.sigmoid, Tensor.relu, Tensor.tanh, Tensor.sigmoid, Tensor.square, Tensor.log),
    *(Tensor.clamp, torch.clamp),
)
COMPARISONS = (Tensor.gt, Tensor.ge, Tensor.lt, Tensor.le)
RULES: dict[Callable[..., Any], Callable[..., Shape | None]] = {
    **dict.fromkeys(ELEMENTWISE, _same),
    **dict.fromkeys((torch.empty_like, torch.full_like, torch.ones_like, torch.zeros_like), _like),
    **dict.fromkeys((Tensor.add, Tensor.sub, *COMPARISONS), _both),
    Tensor.mul: _product,
    torch.where: _where,
    torch.cat: _cat,
    F.linear: _linear,
    F.conv2d: _conv2d,
    F.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    F.avg_pool2d: _avg_pool2d,
    F.batch_norm: _batch_norm,
}
