"""The approximation by draws from stochastic layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge

from bnnbench.inference.approximations.base import Approximation, Predictions, Predictives
from bnnbench.layers.conversion import sampling


class MonteCarlo(Approximation):
    """The mean over S draws of the layers' noise at the last iterate, drawn anew at every evaluation.

    For dropout this is MC dropout (Gal & Ghahramani 2016), for a variational posterior q it is E_q p(y | x, w).

    Args:
        draws: S.
    """

    draws_from_layers = True
    one_network = "the network of the mean weights; the run's posterior rows are means over draws"

    def __init__(self, draws: Annotated[int, Ge(1)] = 10) -> None:
        self.draws = draws

    def predict(self, forward: Callable[[], Predictions]) -> Predictives:
        """Return the mean over `draws` calls of `forward` with layers that draw."""
        posterior = self.empty(self.average)
        with sampling(self.chains.network, True):
            for _ in range(self.draws):
                for split, values in forward().items():
                    posterior[split].add(values)
        return posterior
