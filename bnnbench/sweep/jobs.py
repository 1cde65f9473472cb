"""The runs of a sweep: what defines each, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple


class Status(StrEnum):
    """How a run of a sweep ended."""

    FINISHED = "finished"
    RESUMED = "resumed"  # and finished: it continued from a checkpoint
    SKIPPED = "skipped"  # it had finished before
    FAILED = "failed"
    STOPPED = "stopped"  # by something outside the run: a signal to its process, a folder that cannot be written to
    IN_USE = "in use"  # another process is writing it
    INTERRUPTED = "interrupted"  # by the user; it resumes
    NOT_STARTED = "not started"


class Outcome(NamedTuple):
    """How a run ended, why if it did not reach its end, and the seconds it took. Plain data, to be pickled."""

    status: Status
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: as Hydra's sweeper gives them, ``key=value`` each.
        raw: the resolved configuration.
        label: the overrides in which the jobs of this sweep differ.
        path: the run's folder.
    """

    overrides: tuple[str, ...]
    raw: Mapping[str, Any]
    label: str
    path: Path

    def __str__(self) -> str:
        return f"{self.path.name} ({self.label})" if self.label else self.path.name


def labels(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return for every job the overrides that are not the same in all of them."""
    common = set(jobs[0]).intersection(*jobs) if len(jobs) > 1 else set()
    return [" ".join(o for o in overrides if o not in common) for overrides in jobs]
