"""Cosine waves with warm restarts: explore at large steps, sample at small ones (Zhang et al. 2020, eq. 1)."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt, Lt


def factor(
    iteration: int,
    *,
    iterations: int,
    steps_per_epoch: float,
    cycles: Annotated[int, Gt(0)],
    explore: Annotated[float, Ge(0), Lt(1)] = 0.5,
) -> float:
    """Return ½[cos(π mod(t, L)/L) + 1] with L = ⌈T/M⌉ iterations per cycle.

    Args:
        cycles: M; each begins at lr. The last is shorter where M does not divide T.
        explore: see `samples`.
    """
    return 0.5 * (math.cos(math.pi * _phase(iteration, iterations, cycles)) + 1)


def samples(iteration: int, *, iterations: int, steps_per_epoch: float, cycles: int, explore: float = 0.5) -> bool:
    """Return whether mod(t, L)/L ≥ β: only the last part of each cycle samples (Zhang et al. 2020, algorithm 1).

    The noise stays on throughout; theirs may be left out while a cycle explores.

    Args:
        cycles: M.
        explore: β, the part of each cycle from which no iterate becomes a member.
    """
    return _phase(iteration, iterations, cycles) >= explore


def _phase(iteration: int, iterations: int, cycles: int) -> float:
    """Return how much of its cycle has passed at an iteration, 0 to 1."""
    length = -(-iterations // cycles)
    return (iteration % length) / length


def convergence(*, cycles: int, explore: float = 0.5) -> str:
    """Say which of the two sums breaks."""
    return "The step returns to lr in every cycle: Σε² diverges, the chain keeps a bias of order ε."
