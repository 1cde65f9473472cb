"""A result that came along with another one and is asked for later."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class Ahead:
    """Holds one tensor for one use, as long as the tensors that it was computed from are the same and unchanged."""

    def __init__(self) -> None:
        self._kept: tuple[Tensor, list[tuple[Tensor, int]]] | None = None

    def put(self, value: Tensor, *sources: Tensor) -> None:
        """Keep `value`, computed from `sources`."""
        self._kept = value, [(x, x._version) for x in sources]

    def take(self, *sources: Tensor) -> Tensor | None:
        """Return what is kept if it was computed from `sources` as they are now, else None; keep it no longer."""
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        same = all(x is was and x._version == version for x, (was, version) in zip(sources, kept[1], strict=True))
        return kept[0] if same else None

    def __reduce__(self) -> tuple[Any, ...]:  # a copy of the layer, or its file, does without
        return Ahead, ()
