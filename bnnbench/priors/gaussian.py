"""The Gaussian prior."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from bnnbench.priors.base import Prior


class Gaussian(Prior):
    """N(0, s²): −log p(θ) = Σ θ²/(2s²) + const. The maximum a posteriori estimate has weight decay 1/(N s²).

    Args:
        variance: s² > 0, in squared units of the parameters.
    """

    def __init__(self, variance: Annotated[float, Gt(0), Lt(math.inf)] = 1.0) -> None:
        self.variance = variance

    @property
    def std(self) -> float:
        """s."""
        return math.sqrt(self.variance)

    def weight_decay(self, num_data: int) -> float:
        """Return 1/(N s²)."""
        return 1 / (num_data * self.variance)

    def log_density(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return −Σ θ²/(2s²), [K]."""
        squares = [p.square().flatten(1).sum(1) for p in parameters.values()]
        return torch.stack(squares).sum(0) / (-2 * self.variance)
