"""A normal posterior whose variances are as 1 to 1000: what a preconditioner is for."""

from __future__ import annotations

import torch

from bnnbench.check.target import DOUBLE
from bnnbench.check.targets._gaussian import NormalMean


class GaussianScales(NormalMean):
    """N(ȳ, Σ) with variances 1/N, 31.6/N and 1000/N along the axes."""

    name = "gaussian_scales"
    slow = True

    def __init__(self) -> None:
        super().__init__(torch.diag(torch.tensor([1.0, 1000**0.5, 1000.0], dtype=DOUBLE)))
