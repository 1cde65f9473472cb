"""A normal posterior with the same variance in all directions."""

from __future__ import annotations

import torch

from bnnbench.check.target import DOUBLE
from bnnbench.check.targets._gaussian import NormalMean


class GaussianIsotropic(NormalMean):
    """N(ȳ, Σ) with covariance I/N, d = 2."""

    name = "gaussian_isotropic"

    def __init__(self) -> None:
        super().__init__(torch.eye(2, dtype=DOUBLE))
