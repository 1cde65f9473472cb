"""Counts: p(y | x, θ) = Poisson(y; λ) with λ = exp f."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from bnnbench.errors import DataError
from bnnbench.tasks.base import Task
from bnnbench.tasks.measures import Measure


class Counts(Task):
    """Counts y = 0, 1, 2, …; the network's one output is the logarithm of their rate λ."""

    measures = ("nll", Measure("deviance", "Poisson deviance", "nats", more_is_better=False))
    score = "deviance"
    provides = ("rate",)
    outputs = 1

    def check(self, y: Tensor, where: str) -> Tensor:
        """Return the counts as floating-point numbers."""
        if (y < 0).any():
            raise DataError(f"{where}: counts >= 0 expected, {y.min().item()} found.")
        return y.float()

    def nll(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean of λ − y log λ + log y!, [..., B, 1] → [...]."""
        log_rate = output.squeeze(-1)
        return (log_rate.exp() - y * log_rate + torch.lgamma(y + 1)).mean(-1)

    def predict(self, output: Tensor) -> Tensor:
        """Return λ, [..., B, 1] → [..., B]."""
        return output.squeeze(-1).exp()

    def predictive(self, y: Tensor, average: str = "probability") -> MeanRate:
        """Return an empty mean of rates."""
        return MeanRate()

    def scores(self, predictive: MeanRate, y: Tensor, pooled: bool = False) -> dict[str, Tensor]:
        """Return NLL and deviance of the mean rate."""
        rate, y = predictive.result(pooled)["rate"], y.double()
        nll = (rate - torch.xlogy(y, rate) + torch.lgamma(y + 1)).mean(-1)
        return {"nll": nll, "deviance": 2 * (torch.xlogy(y, y / rate) - (y - rate)).mean(-1)}


class MeanRate:
    """Mean rate over members, [K, N]."""

    def __init__(self) -> None:
        self.members, self.weight = 0, 0.0
        self.mean: Tensor | None = None

    def add(self, rate: Tensor, weight: float = 1.0) -> None:
        """Add one member of every chain."""
        if weight == 0:
            return
        self.members, self.weight = self.members + 1, self.weight + weight
        self.mean = rate.clone() if self.mean is None else self.mean.lerp(rate, weight / self.weight)

    def result(self, pooled: bool = False) -> dict[str, Tensor]:
        """Return the mean ``rate``."""
        assert self.mean is not None
        return {"rate": self.mean.mean(0, keepdim=True) if pooled else self.mean}

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Continue from a saved state."""
        vars(self).update(state)
        return self
