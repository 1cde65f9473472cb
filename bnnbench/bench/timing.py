"""Blocks of work that alternate within one process, and the ratios of their times."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from bnnbench.experiment.machine import synchronise

Advance = Callable[[int], object]  # makes so many steps


@dataclass(frozen=True)
class Ratio:
    """A median with its quartiles, and the medians of what it cost.

    Attributes:
        ratio, low, high: of the time over that of the reference in the same round. For a reference itself 1, and the
            quartiles of its seconds over their median: how steady the machine was.
        seconds: by the clock.
        cpu_seconds: of the processor, all threads together.
    """

    ratio: float
    low: float
    high: float
    seconds: float
    cpu_seconds: float


@dataclass
class Blocks:
    """The times of each kind of work, a value per round.

    Attributes:
        seconds: label → by the clock.
        cpu_seconds: label → of the processor.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, label: str, seconds: float, cpu_seconds: float) -> None:
        """Add the times of a block."""
        self.seconds.setdefault(label, []).append(seconds)
        self.cpu_seconds.setdefault(label, []).append(cpu_seconds)

    def ratio(self, label: str, against: str) -> Ratio:
        """Return the times of `label` beside those of the reference `against`."""
        mine = self.seconds[label]
        middle = statistics.median(mine)
        theirs = [middle] * len(mine) if label == against else self.seconds[against]
        low, ratio, high = quartiles([a / b for a, b in zip(mine, theirs, strict=True)])
        return Ratio(ratio, low, high, middle, statistics.median(self.cpu_seconds[label]))


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile of at least two values."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def alternate(
    loops: Mapping[str, Advance],
    *,
    rounds: int,
    block: int,
    device: torch.device | None = None,
    chains: Mapping[str, int] | None = None,
) -> Blocks:
    """Time blocks of all `loops` in turn, in another order every round; return the times per step and chain.

    Args:
        loops: label → what makes steps, warmed up.
        rounds: blocks of each.
        block: steps of a block, all chains counted.
        device: waited for before the clock is read.
        chains: label → how many chains a step of the loop advances; 1 where none is given.
    """
    device = device or torch.device("cpu")
    blocks = Blocks({label: [] for label in loops}, {label: [] for label in loops})  # in the order given
    for _ in range(rounds):
        for label in random.sample(sorted(loops), len(loops)):
            side_by_side = (chains or {}).get(label, 1)
            count = max(1, block // side_by_side)
            synchronise(device)
            cpu, start = time.process_time(), time.perf_counter()
            loops[label](count)
            synchronise(device)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            blocks.add(label, seconds / count / side_by_side, cpu / count / side_by_side)
    return blocks
