"""The Laplace prior."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from bnnbench.priors.base import Prior


class Laplace(Prior):
    """Laplace(0, b) with b = s/√2, whose variance is s²: −log p(θ) = Σ |θ|/b + const (an L1 penalty).

    Args:
        variance: s² > 0, in squared units of the parameters.
    """

    def __init__(self, variance: Annotated[float, Gt(0), Lt(math.inf)] = 1.0) -> None:
        self.variance = variance

    def log_density(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return −Σ |θ|/b, [K]."""
        norms = [p.abs().flatten(1).sum(1) for p in parameters.values()]
        return torch.stack(norms).sum(0) / -((self.variance / 2) ** 0.5)
