"""Adaptive calibration error (Nixon et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bnnbench.tasks.base import Task
from bnnbench.tasks.measures import Measure
from bnnbench.tasks.metrics.base import Metric


class AdaptiveCalibrationError(Metric):
    """ACE = 1/(C R) Σ_c Σ_r |acc(r, c) − conf(r, c)| (Nixon et al. 2019, "Measuring calibration in deep learning").

    For every class c the data are sorted by p_nc and split into R ranges of equally many data (their sizes differ by
    at most one); acc(r, c) is the fraction of a range with label c, conf(r, c) the mean of its p_nc. Unlike ECE it
    covers all classes, not the most probable one alone, and no range is empty. It is not 0 for calibrated predictions
    of finitely many data: a range of n data adds √(2/π) √(p(1 − p)/n) in the mean.

    Args:
        ranges: R.
    """

    measure = Measure("ace", "ACE", "%", 100, 2, more_is_better=False)
    needs = ("probabilities",)

    def __init__(self, ranges: int = 15) -> None:
        if ranges < 1:
            raise ValueError(f"ranges of ace must be at least 1, got {ranges}")
        self.ranges = ranges

    def __call__(self, prediction: Mapping[str, Tensor], y: Tensor, task: Task) -> Tensor:
        """Return ACE of each chain; with fewer data than ranges, a range for each datum."""
        p = prediction["probabilities"].double()  # [K, N, C]
        ordered, order = p.sort(dim=1, stable=True)  # stable: ties stay in the order of the data
        is_class = y[:, None] == torch.arange(p.shape[-1], device=y.device)  # [N, C]
        gap = is_class.double().expand_as(p).gather(1, order) - ordered
        pieces = gap.tensor_split(min(self.ranges, len(y)), dim=1)
        return torch.stack([piece.mean(1) for piece in pieces]).abs().mean((0, 2))
