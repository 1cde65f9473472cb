"""The parts of a loaded dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from bnnbench.data.loading.preprocess import Preprocess


@dataclass(frozen=True)
class Split:
    """Inputs and targets of one split.

    Attributes:
        x: float32 [n, *in_shape], preprocessed.
        y: targets [n, …] as the task transforms them: int64 classes 0…C−1, or float32 numbers, standardised or not.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> Split:
        """Return the split on `device`."""
        return Split(self.x.to(device), self.y.to(device))


class Targets(Protocol):
    """The treatment of a dataset's targets, which its task defines; see `bnnbench.tasks.base.Task`."""

    standardises: ClassVar[bool]

    @property
    def name(self) -> str:
        """Name of the task, for messages."""

    def check(self, y: Tensor, where: str) -> Tensor:
        """Return raw targets in the type that the other methods take."""

    def fitted(self, y: Tensor, standardise: bool | None) -> Self:
        """Return a copy with the statistics of the training targets."""

    def transform(self, y: Tensor) -> Tensor:
        """Return targets as the network learns them."""


@dataclass(frozen=True)
class Data:
    """A dataset ready for a run.

    Attributes:
        train: what is left of the training set after the validation points were held out.
        evaluation: ``valid`` (only when points are held out) and ``test``.
        ood: by name, the test splits of other datasets, preprocessed with the statistics of `train`.
        in_shape: shape of one input.
        targets: the task, fitted to the targets of `train`.
        prepare: what made inputs of all splits from the dataset's own rows.
        files: those that were read for it.
    """

    train: Split
    evaluation: dict[str, Split]
    ood: dict[str, Split] = field(default_factory=dict)
    in_shape: tuple[int, ...] = ()
    targets: Any = None
    prepare: Preprocess = field(default_factory=lambda: Preprocess(1.0))
    files: tuple[str, ...] = ()
