"""ε_t = lr."""

from __future__ import annotations


def factor(iteration: int, *, iterations: int, steps_per_epoch: float) -> float:
    """Return 1."""
    return 1.0


def convergence() -> str:
    """Say which of the two sums breaks."""
    return "The step is constant: Σε² diverges, the chain keeps a bias of order ε."
