"""The protocol of an approximation of the posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from bnnbench.inference.chains import Chains
from bnnbench.tasks.base import Predictive

Predictions = dict[str, Tensor]  # split → parameters of each chain's predictive distribution [K, N, …]
Predictives = dict[str, Predictive]  # split → predictive distribution


class Approximation:
    """An approximation of the posterior by the iterates of a run. The constructor raises ValueError for a wrong option.

    Attributes:
        average: how members are averaged; see `bnnbench.tasks.base.Task.predictive`.
        one_network: a caveat for users of a single network of a run with this approximation; may be empty.
        draws_from_layers: whether it needs layers that draw.
        pools_iterates: whether the networks of several chains, as they are now, make an ensemble.
        takes_iterates: whether iterates of the run become members, as `takes` says.
        phase: whether the schedule lets the iterate after the 0-based iteration t be a member; None: every one.
    """

    average: str = "probability"
    one_network: ClassVar[str] = ""
    draws_from_layers: ClassVar[bool] = False
    pools_iterates: ClassVar[bool] = False
    takes_iterates: ClassVar[bool] = False
    phase: Callable[[int], bool] | None = None

    def check_length(self, iterations: int) -> None:
        """Raise ConfigError if a run of this many `iterations` would leave nothing to predict with."""
        return

    def start(self, chains: Chains, empty: Callable[[str], Predictives]) -> None:
        """Prepare for a run.

        Args:
            chains: the networks.
            empty: a way of averaging → split → predictive distribution without a member.
        """
        self.chains, self.empty = chains, empty

    def takes(self, iteration: int) -> bool:
        """Return whether the iterate after `iteration` steps is to be a member."""
        return False

    def observe(self, iteration: int, lr: float) -> bool:
        """Observe the networks after `iteration` steps, the last of size `lr`; return whether they become members."""
        return False

    def add(self, predictions: Predictions) -> None:
        """Take the predictions of the networks, which `observe` has just declared members."""

    def predict(self, forward: Callable[[], Predictions]) -> Predictives | None:
        """Return the posterior predictive distribution of every split; None if there is none (yet).

        Args:
            forward: returns the predictions of the present networks; stochastic layers draw anew in every call.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to continue."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, after `start`."""
