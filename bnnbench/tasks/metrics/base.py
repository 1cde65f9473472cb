"""The protocol of a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from bnnbench.tasks.base import Task
from bnnbench.tasks.measures import Measure


class Metric(ABC):
    """A number that rates a prediction on a split with targets, for every task that provides what it needs.

    Options are the parameters of the constructor, checked against their annotations:
    ``eval.metrics=[{name:ace,ranges:30}]``. The constructor raises ValueError where a value does not fit.

    Attributes:
        measure: name (the column), words, unit, direction; `Measure.of` stays ``prediction``.
        needs: which entries of `Predictive.result` it takes; `Task.provides` of each task lists what there is.
    """

    measure: ClassVar[Measure]
    needs: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __call__(self, prediction: Mapping[str, Tensor], y: Tensor, task: Task) -> Tensor:
        """Return the value of each chain, [K], in double precision.

        Args:
            prediction: what `needs` names, and perhaps more: of the last iterates, or of the mean over members. For
                classification ``probabilities`` [K, N, C], for regression ``mean`` [K, N].
            y: targets as the network learns them, [N]: labels, or numbers that ``dataset.standardise_target`` scales.
            task: fitted to the training data; a regression's has ``target_mean`` and ``target_std``.
        """
