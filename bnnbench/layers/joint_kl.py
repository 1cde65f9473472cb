"""The KL of a layer handed from its forward pass, which computes it along with the output, to its ``kl()``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn

_results: ContextVar[dict[nn.Module, tuple[tuple[Tensor, ...], Tensor]] | None] = ContextVar("joint_kl", default=None)


@contextmanager
def joint_kl() -> Iterator[None]:
    """Let layers compute their KL along with their output, within a ``with`` block around both.

    The block holds a forward pass and the ``kl()`` of the same parameters, which must not change in between: a training
    step's loss. Output and KL then share a graph, so one backward pass must serve both. Outside of such a block nothing
    is handed on, and ``kl()`` is computed from the parameters as they are.
    """
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def store(layer: nn.Module, kl: Tensor, *parameters: Tensor) -> None:
    """Keep the KL of `layer`, computed from `parameters`, for one use within the block; without a block do nothing."""
    results = _results.get()
    if results is not None:
        results[layer] = parameters, kl


def take(layer: nn.Module, *parameters: Tensor) -> Tensor | None:
    """Return the KL stored for `layer` unless its parameters are other tensors now, and remove it."""
    stored = (_results.get() or {}).pop(layer, None)
    if stored is None or any(now is not then for now, then in zip(parameters, stored[0], strict=True)):
        return None
    return stored[1]
