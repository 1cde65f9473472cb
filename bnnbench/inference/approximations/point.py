"""The approximation by one network."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge

from bnnbench.inference.approximations.base import Approximation


class Point(Approximation):
    """The last iterate: the maximum a posteriori estimate of an optimiser, the mean weights of stochastic layers.

    With K > 1 chains the mean over their last iterates is a deep ensemble (Lakshminarayanan et al. 2017).

    Args:
        draws: not used; S of ``monte_carlo``, so that changing the name alone is enough to switch to it.
    """

    pools_iterates = True

    def __init__(self, draws: Annotated[int, Ge(1)] | None = None) -> None:
        pass
