"""Classification: p(y = c | x, θ) = exp f_c / Σ_k exp f_k, or of two classes p(y = 1 | x, θ) = 1/(1 + exp −f)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.errors import DataError
from bnnbench.tasks import formulas
from bnnbench.tasks.base import Task


class Classification(Task):
    """One of C classes; the network's outputs are logits.

    Args:
        classes: C ≥ 2.
        head: ``softmax``: one logit for each class. Of two classes the log-odds are the difference of two logits: under
            N(0, s²) on every weight their coefficients are N(0, 2s²). ``sigmoid``, for two classes: one logit, the
            log-odds themselves, with coefficients N(0, s²).
        ece_bins: equal-width bins of the expected calibration error.

    Raises:
        ValueError: fewer than two classes; more than two for ``sigmoid``.
    """

    measures = ("error", "nll", "brier", "ece", "entropy", "mutual_information", "auroc")
    score = "error"
    provides = ("probabilities", "entropy")
    detects_ood = True

    def __init__(
        self, classes: int | None, head: Literal["softmax", "sigmoid"] = "softmax", ece_bins: int = 15
    ) -> None:
        if not isinstance(classes, int) or classes < 2:
            raise ValueError(f"CLASSES = {classes!r}; for classification it must be an integer of at least 2")
        if head == "sigmoid" and classes != 2:
            raise ValueError(f"CLASSES = {classes}; task.head=sigmoid is for two. Take task.head=softmax")
        self.classes, self.head, self.ece_bins = classes, head, ece_bins

    @property
    def options(self) -> dict[str, Any]:
        """The head."""
        return {"head": self.head}

    def check(self, y: Tensor, where: str) -> Tensor:
        """Return int64 labels in 0…C−1."""
        if y.is_floating_point():
            raise DataError(f"{where}: integer labels expected, {y.dtype} found.")
        if y.min() < 0 or y.max() >= self.classes:
            found = f"{y.min().item()}…{y.max().item()}"
            raise DataError(f"{where}: labels in 0…{self.classes - 1} expected, {found} found.")
        return y.long()

    @property
    def outputs(self) -> int:
        """One logit per class, or the log-odds."""
        return 1 if self.head == "sigmoid" else self.classes

    def nll(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy: logits [..., B, C] or [..., B, 1], int64 labels [..., B] or [B] → [...]."""
        if self.head == "sigmoid":  # −log p(y) = log(1 + exp(−(2y − 1) f))
            logit = output.squeeze(-1)
            return F.softplus(logit * (1 - 2 * y.expand(logit.shape))).mean(-1)
        if output.dim() == 2:  # one chain: one fused kernel
            return F.cross_entropy(output, y)
        shape = output.shape[:-1]
        losses = F.cross_entropy(output.flatten(0, -2), y.expand(shape).reshape(-1), reduction="none")
        return losses.view(shape).mean(-1)

    def predict(self, output: Tensor) -> Tensor:
        """Return the class probabilities, [..., B, outputs] → [..., B, C]."""
        if self.head == "sigmoid":
            return torch.cat([(-output).sigmoid(), output.sigmoid()], dim=-1)
        return output.softmax(-1)

    def predictive(self, y: Tensor, average: str = "probability") -> ClassPredictive:
        """Return an empty mean of class probabilities."""
        return ClassPredictive(average)

    def scores(self, predictive: ClassPredictive, y: Tensor, pooled: bool = False) -> dict[str, Tensor]:
        """Return error, NLL, Brier score, ECE, and the measures of uncertainty."""
        p = predictive.result(pooled)["probabilities"]
        return {
            **self._uncertainty(predictive, pooled),
            "error": formulas.error(p, y),
            "nll": formulas.nll(p, y),
            "brier": formulas.brier(p, y),
            "ece": formulas.ece(p, y, self.ece_bins),
        }

    def constant_score(self, train: Tensor, y: Tensor) -> float:
        """Return the error of the most frequent class."""
        return (y != train.bincount(minlength=self.classes).argmax()).double().mean().item()

    def per_datum(self, predictive: ClassPredictive, y: Tensor, pooled: bool = False) -> dict[str, Tensor]:
        """Return each datum's error (0 or 1), NLL and Brier score."""
        p = predictive.result(pooled)["probabilities"]
        return {
            "error": formulas.error_per_datum(p, y),
            "nll": formulas.nll_per_datum(p, y),
            "brier": formulas.brier_per_datum(p, y),
        }

    def ood_scores(
        self, predictive: ClassPredictive, known: ClassPredictive, pooled: bool = False
    ) -> dict[str, Tensor]:
        """Return the measures of uncertainty, and the AUROC of the entropy as a score for "out of distribution"."""
        inside, outside = (
            formulas.entropy_per_datum(each.result(pooled)["probabilities"]) for each in (known, predictive)
        )
        return {**self._uncertainty(predictive, pooled), "auroc": formulas.auroc(inside, outside)}

    def _uncertainty(self, predictive: ClassPredictive, pooled: bool) -> dict[str, Tensor]:
        result = predictive.result(pooled)
        scores = {"entropy": formulas.entropy(result["probabilities"])}
        if predictive.average == "probability":  # H[p̄] − mean H[p_m] is a mutual information of that mean alone
            scores["mutual_information"] = formulas.mutual_information(result["probabilities"], result["entropy"])
        return scores


class ClassPredictive:
    """Mean class probabilities of K chains on one split: probabilities are averaged, not logits.

    ``log_probability`` is the normalised geometric mean exp Σ_m w_m log p / Σ_m w_m, as in the released pSGLD code.

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
