"""Half a cosine wave from lr down to a fraction of it at the end of the run (Loshchilov & Hutter 2017, eq. 5)."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Le


def factor(
    iteration: int,
    *,
    iterations: int,
    steps_per_epoch: float,
    final: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> float:
    """Return final + (1 − final)·½[1 + cos(π t/T)], which reaches `final` at t = T and stays there.

    Args:
        final: fraction of lr at the end of the run.
    """
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(iteration / iterations, 1.0)))


def convergence(*, final: float = 0.0) -> str:
    """Say which of the two sums breaks."""
    if final == 0:
        return "The step falls to zero at the end of the run: Σε is finite, the chain freezes where it is then."
    return f"The step stays at {final:g}·lr or above: Σε² diverges, the chain keeps a bias of order ε."
