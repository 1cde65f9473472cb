"""Spherical score (Good 1971)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bnnbench.tasks.base import Task
from bnnbench.tasks.measures import Measure
from bnnbench.tasks.metrics.base import Metric


class SphericalScore(Metric):
    """(1/N) Σ_n p_n,y_n / ‖p_n‖₂, a strictly proper score between 0 and 1."""

    measure = Measure("spherical", "spherical score", more_is_better=True)
    needs = ("probabilities",)

    def __call__(self, prediction: Mapping[str, Tensor], y: Tensor, task: Task) -> Tensor:
        """Return the score of each chain."""
        p = prediction["probabilities"].double()
        of_label = p.gather(-1, y.expand(p.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        return (of_label / p.norm(dim=-1)).mean(-1)
