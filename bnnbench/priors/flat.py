"""The flat prior."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bnnbench.priors.base import Prior


class Flat(Prior):
    """p(θ) ∝ 1: the likelihood alone. It is improper, and so may the posterior be."""

    def weight_decay(self, num_data: int) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return 0, [K]."""
        first = next(iter(parameters.values()))
        return first.new_zeros(len(first))
