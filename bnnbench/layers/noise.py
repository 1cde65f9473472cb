"""The random numbers of stochastic layers: the one place where they are drawn."""

from __future__ import annotations

import torch
from torch import Tensor


def standard_normal(like: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return independent N(0, 1) in `shape`, by default that of `like`, with the dtype and device of `like`."""
    return torch.randn_like(like) if shape is None else torch.randn(shape, dtype=like.dtype, device=like.device)


def uniform(like: Tensor) -> Tensor:
    """Return independent numbers uniform on [0, 1), in the shape, dtype and device of `like`."""
    return torch.rand_like(like)
