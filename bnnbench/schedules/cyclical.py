"""Cosine waves with warm restarts: explore at large steps, sample at small ones (Zhang et al. 2020, eq. 1)."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Gt


def factor(
    iteration: int,
    *,
    iterations: int,
    steps_per_epoch: int,
    cycles: Annotated[int, Gt(0)],
) -> float:
    """Return ½[cos(π mod(t, L)/L) + 1] with L = ⌈T/M⌉ iterations per cycle.

    Args:
        cycles: M; each begins at lr. The last is shorter where M does not divide T.
    """
    length = -(-iterations // cycles)
    return 0.5 * (math.cos(math.pi * (iteration % length) / length) + 1)


def convergence(*, cycles: int) -> str:
    """Say which of the two sums breaks."""
    return "The step returns to lr in every cycle: Σε² diverges, the chain keeps a bias of order ε."
