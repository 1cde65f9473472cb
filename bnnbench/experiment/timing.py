"""Time spent in training and in evaluation, separately; together they are the time of the loop."""

from __future__ import annotations

import time

import torch

from bnnbench.experiment.machine import synchronise


class Clock:
    """Two stopwatches, exactly one of which is running.

    Args:
        device: synchronised before the time is read, so that a kernel counts where it was launched.
        train: seconds of training so far, of a continued run.
        evaluation: seconds of evaluation so far.
    """

    def __init__(self, device: torch.device, train: float = 0.0, evaluation: float = 0.0) -> None:
        self.device = device
        self.seconds = {"train": train, "eval": evaluation}
        self._since = time.perf_counter()

    def begin(self) -> None:
        """Leave out the time since the last call, of preparations."""
        synchronise(self.device)
        self._since = time.perf_counter()

    def lap(self, spent_on: str) -> None:
        """Add the time since the last call to ``train`` or ``eval``."""
        synchronise(self.device)
        now = time.perf_counter()
        self.seconds[spent_on] += now - self._since
        self._since = now
