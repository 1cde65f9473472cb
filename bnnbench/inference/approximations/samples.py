"""The approximation by the iterates of a sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from annotated_types import Ge

from bnnbench.errors import ConfigError
from bnnbench.inference.approximations.base import Approximation, Predictions, Predictives
from bnnbench.inference.chains import Chains


class Samples(Approximation):
    """Every `thin`-th iterate after the first `burn_in` is a member of the posterior mean, where the schedule samples.

    Args:
        burn_in: iterations before the first member is considered.
        thin: iterations between members.
        average: ``probability``, or ``log_probability``: the normalised geometric mean of the released pSGLD code.
        weight: ``equal``, or ``lr``: members weighted by their step size (Welling & Teh 2011, section 4).
    """

    takes_iterates = True
    one_network = "the network is the chain's last iterate, not the posterior mean"

    def __init__(
        self,
        burn_in: Annotated[int, Ge(0)],
        thin: Annotated[int, Ge(1)],
        average: Literal["probability", "log_probability"] = "probability",
        weight: Literal["equal", "lr"] = "equal",
    ) -> None:
        self.burn_in, self.thin, self.average, self.weight = burn_in, thin, average, weight

    def check_length(self, iterations: int) -> None:
        """Raise ConfigError if no iterate would be a member, suggesting values that leave some."""
        if self.burn_in + self.thin <= iterations:
            return
        burn_in, thin = iterations // 2, max(1, iterations // 20)
        raise ConfigError(
            f"members.burn_in={self.burn_in} and members.thin={self.thin} leave no posterior member in "
            f"{iterations} iterations.\nTake iterations={self.burn_in + 10 * self.thin}, say, or "
            f"members.burn_in={burn_in} members.thin={thin}."
        )

    def start(self, chains: Chains, empty: Callable[[str], Predictives]) -> None:
        """Start without a member."""
        super().start(chains, empty)
        self._posterior = empty(self.average)
        self._lr = 0.0

    def observe(self, iteration: int, lr: float) -> bool:
        """Return whether this iterate is a member."""
        self._lr = lr
        return self.takes(iteration)

    def takes(self, iteration: int) -> bool:
        """Return whether that iterate is every `thin`-th after the burn-in, and the schedule samples."""
        if iteration <= self.burn_in or (iteration - self.burn_in) % self.thin:
            return False
        return self.phase is None or self.phase(iteration - 1)

    def add(self, predictions: Predictions) -> None:
        """Add the networks' predictions to the running posterior mean."""
        weight = self._lr if self.weight == "lr" else 1.0
        for split, values in predictions.items():
            self._posterior[split].add(values, weight)

    def predict(self, forward: Callable[[], Predictions]) -> Predictives | None:
        """Return the running posterior mean; None before its first member."""
        return self._posterior if any(each.members for each in self._posterior.values()) else None

    def state_dict(self) -> dict[str, Any]:
        """Return the running posterior means."""
        return {split: predictive.state_dict() for split, predictive in self._posterior.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the running posterior means."""
        for split, saved in state.items():
            self._posterior[split].load_state_dict(saved)
