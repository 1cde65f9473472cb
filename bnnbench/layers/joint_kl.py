"""The KL of a layer handed from its forward pass, which computes it along with the output, to its ``kl()``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

# Layer → its parameters and their versions, and the KL.
_results: ContextVar[dict[nn.Module, tuple[list[tuple[Tensor, int]], Tensor]] | None] = ContextVar(
    "joint_kl", default=None
)


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
        results[layer] = [(p, p._version) for p in parameters], kl


def take(layer: nn.Module, *parameters: Tensor) -> Tensor | None:
    """Return the KL stored for `layer` unless its parameters are other tensors now or have changed, and remove it."""
    if torch.compiler.is_compiling():
        return None
    stored = (_results.get() or {}).pop(layer, None)
    if stored is None or len(stored[0]) != len(parameters):
        return None
    unchanged = all(
        now is then and now._version == version for now, (then, version) in zip(parameters, stored[0], strict=True)
    )
    return stored[1] if unchanged else None
