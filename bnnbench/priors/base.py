"""The protocol of a prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor


class Prior(ABC):
    """p(θ), of independent parameters. The constructor raises ValueError for an option out of range."""

    @property
    def std(self) -> float | None:
        """s of a Gaussian N(0, s²), which layers with a Gaussian prior of their own take over; None otherwise."""
        return None

    def weight_decay(self, num_data: int) -> float | None:
        """Return the prior's form as weight decay c, if its gradient per datum is c θ; None otherwise.

        Args:
            num_data: N.
        """
        return None

    @abstractmethod
    def log_density(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return log p(θ) in nats of each of K chains [K], up to a constant that does not depend on θ.

        Args:
            parameters: name → values [K, *shape], those parameters that carry the prior.
        """
