"""What a loaded dataset is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Inputs and targets of one split.

    Attributes:
        x: float32 [n, *in_shape], preprocessed.
        y: int64 [n], classes 0…C−1, or float32 [n], targets (standardised where the configuration says so).
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> Split:
        """Return the split on `device`."""
        return Split(self.x.to(device), self.y.to(device))


@dataclass(frozen=True)
class Data:
    """A dataset ready for a run.

    Attributes:
        task: ``classification`` or ``regression``.
        train: what is left of the training set after the validation points were held out.
        evaluation: ``valid`` (only when points are held out) and ``test``.
        ood: by name, the test splits of other datasets, preprocessed with the statistics of `train`.
        num_classes: None for regression.
        in_shape: shape of one input.
        target_mean, target_std: original units = ``y * target_std + target_mean`` (regression).
    """

    task: str
    train: Split
    evaluation: dict[str, Split]
    ood: dict[str, Split] = field(default_factory=dict)
    num_classes: int | None = None
    in_shape: tuple[int, ...] = ()
    target_mean: float = 0.0
    target_std: float = 1.0
