"""The protocol of gradient noise: which data a step sees, and what is added to its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.target import Target

BATCH = 10  # B, of the N data


class GradientNoise:
    """None: every step sees the gradient of all data.

    Attributes:
        name: in the table.
        excess: excess kurtosis of a coordinate of the noise; None where the noise is that of data.
        noisy: whether there is any.
        reshuffled: whether the minibatches of an epoch share no datum.
    """

    name: str
    excess: float | None = None
    noisy = True
    reshuffled = False

    def index(self, target: Target, chains: int, step: int, generator: torch.Generator) -> Tensor | None:
        """Return the data of a step for each chain [K, B]; None for all of them."""
        return None

    def added(self, target: Target, chains: int, generator: torch.Generator) -> Tensor | None:
        """Return what is added to each chain's mean gradient [K, d]; None for nothing."""
        return None
