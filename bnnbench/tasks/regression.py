"""Regression: p(y | x, θ) = N(y; μ, v)."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnnbench.errors import DataError
from bnnbench.tasks import formulas
from bnnbench.tasks.base import Task

MIN_VARIANCE = 1e-6  # of a target scaled to variance 1; Lakshminarayanan et al. 2017, section 2.2.1


class Regression(Task):
    """A number; p(y | x, θ) = N(y; μ, v) with v = softplus(ρ) + 1e-6 (Lakshminarayanan et al. 2017, eq. 1).

    Args:
        classes: None; a regression set has no classes.
        head: ``homoscedastic``: the network's output is μ, and one ρ is learned for all x. ``heteroscedastic``: it is
            (μ, ρ) for each x.

    Attributes:
        target_mean, target_std: of the training targets; original units = y · target_std + target_mean.

    Raises:
        ValueError: `classes` is given.
    """

    measures = ("rmse", "nll")
    score = "rmse"
    provides = ("mean", "log_density")
    standardises = True

    def __init__(
        self, classes: int | None = None, head: Literal["homoscedastic", "heteroscedastic"] = "homoscedastic"
    ) -> None:
        if classes is not None:
            raise ValueError(f"CLASSES = {classes!r}; for regression it must be None")
        self.head = head
        self.target_mean, self.target_std = 0.0, 1.0

    @property
    def options(self) -> dict[str, Any]:
        """The head."""
        return {"head": self.head}

    def check(self, y: Tensor, where: str) -> Tensor:
        """Return finite targets in double precision."""
        if not y.isfinite().all():
            raise DataError(f"{where}: y has values that are not finite.")
        return y.double()

    def fitted(self, y: Tensor, standardise: bool | None) -> Self:
        """Return the task with mean and standard deviation (1 if constant) of `y`, unless `standardise` is False."""
        if standardise is False:
            return self
        task = copy.copy(self)
        task.target_mean = y.mean().item()
        task.target_std = 1.0 if y.min() == y.max() else y.std(correction=0).item()
        return task

    def transform(self, y: Tensor) -> Tensor:
        """Return (y − mean) / std, float32."""
        return ((y - self.target_mean) / self.target_std).float()

    @property
    def outputs(self) -> int:
        """The mean, and ρ where it depends on x."""
        return 2 if self.head == "heteroscedastic" else 1

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return `network`, with the shared ρ appended to its output where the noise does not depend on x."""
        return network if self.head == "heteroscedastic" else SharedVariance(network)

    def nll(self, output: Tensor, y: Tensor) -> Tensor:
        """Return (1/B) Σ_b ½[log 2πv_b + (y_b − μ_b)²/v_b]: outputs (μ, ρ) [..., B, 2], y [..., B] or [B] → [...]."""
        mean, rho = output.unbind(-1)
        variance = F.softplus(rho) + MIN_VARIANCE
        y = y.expand(mean.shape)  # a y of [B, 1] is an error here; broadcast, it would make a wrong [B, B]
        return 0.5 * (math.log(2 * math.pi) + variance.log() + (y - mean) ** 2 / variance).mean(-1)

    def predict(self, output: Tensor) -> Tensor:
        """Return (μ, v) stacked, [..., B, 2] → [..., B, 2]; v is a variance, in squared units of y."""
        mean, rho = output.unbind(-1)
        return torch.stack([mean, F.softplus(rho) + MIN_VARIANCE], dim=-1)

    def in_own_units(self, output: Tensor) -> Tensor:
        """Return (μ, v) stacked, [..., B, 2], in units of the target and in their square."""
        mean, variance = self.predict(output).unbind(-1)
        return torch.stack([mean * self.target_std + self.target_mean, variance * self.target_std**2], dim=-1)

    def predictive(self, y: Tensor, average: str = "probability") -> GaussianPredictive:
        """Return an empty mixture of Gaussians, whose density is kept at the targets `y`."""
        return GaussianPredictive(y)

    def scores(self, predictive: GaussianPredictive, y: Tensor, pooled: bool = False) -> dict[str, Tensor]:
        """Return RMSE and NLL, both in the target's own units."""
        result = predictive.result(pooled)
        scale = torch.tensor(self.target_std, dtype=torch.float64)
        return {
            "rmse": formulas.rmse(result["mean"], y, self.target_std),
            "nll": scale.log() - result["log_density"].mean(-1),
        }

    def constant_score(self, train: Tensor, y: Tensor) -> float:
        """Return the RMSE of the training targets' mean."""
        return formulas.rmse(train.double().mean().expand(y.shape), y, self.target_std).item()

    def per_datum(self, predictive: GaussianPredictive, y: Tensor, pooled: bool = False) -> dict[str, Tensor]:
        """Return each datum's squared error (for the RMSE) and NLL, in the target's units."""
        result = predictive.result(pooled)
        return {
            "rmse": formulas.squared_error(result["mean"], y) * self.target_std**2,
            "nll": math.log(self.target_std) - result["log_density"],
        }


class SharedVariance(nn.Module):
    """A network of one output, with one learned ρ, the same for all x, as second output: [B, ...] → [B, 2].

    ρ is no weight: its prior is N(0, 3²) whatever that of the weights, so that v has its 95 % between 0.003 and 6 times
    the target's variance. It gets a sampler's noise.
    """

    likelihood_std: ClassVar[dict[str, float]] = {"rho": 3.0}

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.rho = nn.Parameter(torch.tensor([math.log(math.e - 1)]))  # variance 1, that of a standardised target

    def forward(self, x: Tensor) -> Tensor:
        mean = self.network(x)  # [B, 1]
        return torch.cat([mean, self.rho.expand_as(mean)], dim=-1)


class GaussianPredictive:
    """The mixture of the members' Gaussians on one split of a regression set.

    Its density at the targets is kept as a running log-sum-exp, its mean as a running mean.

    Args:
        targets: y [N], scaled as in training.
    """

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets
        self.members = 0
        self.weight = 0.0
        self.mean: Tensor | None = None  # [K, N]
        self.log_density: Tensor | None = None  # [K, N], log Σ_m w_m N(y; μ_m, v_m)

    def add(self, moments: Tensor, weight: float = 1.0) -> None:
        """Add one member of every chain, (mean, variance) [K, N, 2]; one of weight 0 counts for nothing."""
        if weight == 0:
            return
        mean, variance = moments.double().unbind(-1)
        log_density = formulas.gaussian_log_density(mean, variance, self.targets)
        log_density = log_density + torch.tensor(weight, dtype=log_density.dtype, device=log_density.device).log()
        self.members += 1
        self.weight += weight
        if self.mean is None or self.log_density is None:
            self.mean, self.log_density = mean.clone(), log_density
        else:
            self.mean.lerp_(mean, weight / self.weight)
            self.log_density = torch.logaddexp(self.log_density, log_density)

    def result(self, pooled: bool = False) -> dict[str, Tensor]:
        """Return the predictive ``mean`` and ``log_density`` at the targets [K, N]; K = 1 if `pooled` over chains."""
        assert self.mean is not None and self.log_density is not None, "no member yet"
        log_density = self.log_density - torch.tensor(self.weight, dtype=self.log_density.dtype).log()
        if pooled:
            chains = torch.tensor(len(log_density), dtype=log_density.dtype)
            log_density = log_density.logsumexp(0, keepdim=True) - chains.log()
            return {"mean": self.mean.mean(0, keepdim=True), "log_density": log_density}
        return {"mean": self.mean, "log_density": log_density}

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to continue."""
        return {"members": self.members, "weight": self.weight, "mean": self.mean, "log_density": self.log_density}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        for name, value in state.items():
            setattr(self, name, value)
