"""A normal posterior with correlation .9: what a diagonal preconditioner does not see."""

from __future__ import annotations

import torch

from bnnbench.check.target import DOUBLE
from bnnbench.check.targets._gaussian import NormalMean


class GaussianCorrelated(NormalMean):
    """N(ȳ, Σ) with covariance [[1, .9], [.9, 1]]/N."""

    name = "gaussian_correlated"

    def __init__(self) -> None:
        super().__init__(torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=DOUBLE))
