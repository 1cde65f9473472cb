"""A result that came along with another one and is asked for later."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Ahead:
    """Holds one tensor for one use, as long as the tensors that it was computed from are the same and unchanged.

    torch counts a tensor's changes, but neither those through ``.data`` nor those of its fused optimisers. Both come
    after a backward pass, and so does a graph that is used up: that is when to `drop` what was not taken.
    """

    def __init__(self) -> None:
        self._kept: tuple[Tensor, list[tuple[Tensor, tuple[int, int, bool]]]] | None = None

    def put(self, value: Tensor, *sources: Tensor) -> None:
        """Keep `value`, computed from `sources`."""
        self._kept = value, [(x, _state(x)) for x in sources]

    def take(self, *sources: Tensor) -> Tensor | None:
        """Return what is kept if it was computed from `sources` as they are now, else None; keep it no longer."""
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        if not all(x is was and _state(x) == state for x, (was, state) in zip(sources, kept[1], strict=True)):
            return None
        return kept[0] if torch.is_grad_enabled() else kept[0].detach()

    def drop(self) -> None:
        """Keep nothing."""
        self._kept = None

    def __reduce__(self) -> tuple[Any, ...]:  # a copy of the layer, or its file, does without
        return Ahead, ()


def _state(x: Tensor) -> tuple[int, int, bool]:
    return x._version, x.data_ptr(), x.requires_grad
