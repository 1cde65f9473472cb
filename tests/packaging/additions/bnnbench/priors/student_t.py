"""Student's t prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from bnnbench.priors.base import Prior


class StudentT(Prior):
    """−log p(θ) = Σ ½(ν + 1) log(1 + θ²/(ν s²)) + const: heavy tails, N(0, s²) as ν → ∞.

    Args:
        variance: s², that of the limit.
        dof: ν.
    """

    def __init__(self, variance: Annotated[float, Gt(0)] = 1.0, dof: Annotated[float, Gt(0)] = 3.0) -> None:
        self.variance, self.dof = variance, dof

    def log_density(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return log p(θ) of each chain, [K]."""
        scale = self.dof * self.variance
        terms = [(p.square() / scale).log1p().flatten(1).sum(1) for p in parameters.values()]
        return torch.stack(terms).sum(0) * (-0.5 * (self.dof + 1))
