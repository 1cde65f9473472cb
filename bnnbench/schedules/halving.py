"""ε_t = lr · by^⌊epoch/every⌋: a constant step within blocks of epochs, as in the released code of Li et al. 2016."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt, Lt


def factor(
    iteration: int,
    *,
    iterations: int,
    steps_per_epoch: float,
    every: Annotated[int, Gt(0)],
    by: Annotated[float, Gt(0), Lt(1)] = 0.5,
) -> float:
    """Return by^⌊t / (every · steps_per_epoch)⌋.

    Args:
        every: length of a block, in epochs.
        by: multiplier from one block to the next.
    """
    return by ** int(iteration // (every * steps_per_epoch))


def convergence(*, every: int, by: float = 0.5) -> str:
    """Say which of the two sums breaks."""
    return "The step falls geometrically: Σε is finite, the chain freezes."
