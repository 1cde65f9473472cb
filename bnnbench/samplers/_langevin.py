"""What the Langevin samplers share: the checks of their hyper-parameters and the collection of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Tensors = list[Tensor] | tuple[Tensor, ...]  # what torch's foreach functions take and return
NoiseSource = Callable[[Sequence[Tensor]], list[Tensor]]


def check_common(lr: float, num_data: int, temperature: float, weight_decay: float) -> None:
    """Raise ValueError, as torch's optimisers do, for a value out of range."""
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr (step size η) must be > 0, got {lr}")
    if num_data < 1:
        raise ValueError(f"num_data (N) must be at least 1, got {num_data}")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be >= 0 (1 samples the posterior, 0 optimises), got {temperature}")
    if not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay must be >= 0 (1/(N s²) for the prior N(0, s²)), got {weight_decay}")


def with_gradients(group: dict[str, Any]) -> tuple[list[Tensor], Tensors]:
    """Return the parameters of `group` that have a gradient, and the gradients."""
    params = [p for p in group["params"] if p.grad is not None]
    return params, [p.grad for p in params]


def standard_normal(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return ξ ~ N(0, I) from torch's global generator: the default where the caller gives no source of its own."""
    return [torch.randn_like(t) for t in tensors]
