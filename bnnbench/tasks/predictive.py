"""The posterior predictive: a running, weighted mean over members, in memory that does not grow with their number.

    p̄(y | x) = Σ_m w_m p(y | x, θ_m) / Σ_m w_m

Probabilities are averaged, not logits. `log_probability` is the normalised geometric mean exp Σ_m w_m log p / Σ_m w_m,
the rule of the released pSGLD code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bnnbench.tasks import metrics


class ClassPredictive:
    """Mean class probabilities of K chains on one split.

    Args:
        average: ``probability`` or ``log_probability``.
    """

    def __init__(self, average: str = "probability") -> None:
        self.average = average
        self.members = 0  # of each chain
        self.weight = 0.0
        self.mean: Tensor | None = None  # [K, N, C], of p or of log p
        self.entropy: Tensor | None = None  # [K, N], mean entropy of the members

    def add(self, probabilities: Tensor, weight: float = 1.0) -> None:
        """Add one member of every chain, probabilities [K, N, C]; one of weight 0 counts for nothing."""
        if weight == 0:
            return
        value = probabilities
        if self.average == "log_probability":
            value = probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
        entropy = torch.special.entr(probabilities).sum(-1)
        self.members += 1
        self.weight += weight
        if self.mean is None or self.entropy is None:
            self.mean, self.entropy = value.clone(), entropy
        else:
            self.mean.lerp_(value, weight / self.weight)
            self.entropy.lerp_(entropy, weight / self.weight)

    def result(self, pooled: bool = False) -> dict[str, Tensor]:
        """Return ``probabilities`` [K, N, C] and the members' mean ``entropy`` [K, N]; `pooled` over chains, K = 1."""
        assert self.mean is not None and self.entropy is not None, "no member yet"
        mean = self.mean.mean(0, keepdim=True) if pooled else self.mean
        entropy = self.entropy.mean(0, keepdim=True) if pooled else self.entropy
        probabilities = mean.softmax(-1) if self.average == "log_probability" else mean
        return {"probabilities": probabilities, "entropy": entropy}

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to continue."""
        return {"members": self.members, "weight": self.weight, "mean": self.mean, "entropy": self.entropy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        for name, value in state.items():
            setattr(self, name, value)


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
        log_density = metrics.gaussian_log_density(mean, variance, self.targets)
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


Predictive = ClassPredictive | GaussianPredictive
