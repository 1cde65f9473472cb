"""Constant, then linear down to a fraction of lr at the end of the run (released code of Molchanov et al. 2017)."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le, Lt


def factor(
    iteration: int,
    *,
    iterations: int,
    steps_per_epoch: float,
    flat: Annotated[float, Ge(0), Lt(1)] = 0.0,
    final: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> float:
    """Return 1 for t ≤ flat·T, then 1 − (1 − final)(t/T − flat)/(1 − flat), which reaches `final` at t = T.

    Args:
        flat: fraction of the run with the full lr.
        final: fraction of lr at the end of the run.
    """
    gone = (min(iteration / iterations, 1.0) - flat) / (1 - flat)
    return 1 - (1 - final) * max(0.0, gone)


def convergence(*, flat: float = 0.0, final: float = 0.0) -> str:
    """Say which of the two sums breaks."""
    if final == 0:
        return "The step falls to zero at the end of the run: Σε is finite, the chain freezes where it is then."
    return f"The step stays at {final:g}·lr or above: Σε² diverges, the chain keeps a bias of order ε."
