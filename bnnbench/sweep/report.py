"""The output of a sweep: on a terminal a bar for all and one for each run in progress, elsewhere a line for each end.

The progress of a run is read from its own files, wherever it takes place.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from bnnbench.experiment.progress import summary
from bnnbench.store.manifest import Manifest, RunStatus
from bnnbench.store.tables import last_iteration
from bnnbench.sweep.jobs import Job, Outcome, Status

EVERY = 0.5  # seconds between two looks at the runs' files
SHOWN = 20  # failures in the table
MEANINGS = {
    Status.FINISHED: "",
    Status.RESUMED: "finished, from where they had stopped",
    Status.SKIPPED: "finished before",
    Status.FAILED: "",
    Status.STOPPED: "",
    Status.IN_USE: "another process is writing them; run the same command again later",
    Status.INTERRUPTED: "the same command resumes them",
    Status.NOT_STARTED: "the same command runs them",
}

FAILURES = (Status.FAILED, Status.STOPPED)


class SweepReporter:
    """Progress of a sweep.

    Args:
        total: the number of runs to do.
        console: where to write.
    """

    def __init__(self, total: int, console: Console) -> None:
        self.console, self.total, self.ended_count = console, total, 0
        self._bar: Progress | None = None
        self._tasks: dict[Job, TaskID] = {}
        self._looked = 0.0

    def __enter__(self) -> SweepReporter:
        if self.console.is_terminal and self.total:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
                BarColumn(),
                TextColumn("{task.fields[place]}"),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
                redirect_stderr=sys.stderr.isatty(),
                speed_estimate_period=600,
            )
            self._all = self._bar.add_task("runs", total=self.total, place=f"0/{self.total}")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def started(self, job: Job) -> None:
        """Note that `job` was handed out; its bar appears once its manifest says that it runs."""

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Report how `job` ended."""
        self.ended_count += 1
        if self._bar is not None:
            if job in self._tasks:
                self._bar.remove_task(self._tasks.pop(job))
            self._show_all(0.0)
        words = [f"[{self.ended_count}/{self.total}] {outcome.status} {job}"]
        if outcome.status in (Status.FINISHED, Status.RESUMED):
            words += [self.scores(job), f"{outcome.seconds:.{1 if outcome.seconds < 10 else 0}f} s"]
        text = ", ".join(word for word in words if word)
        if outcome.status not in FAILURES:
            self.say(text)
            return
        lines = "\n".join(f"{text}: {outcome.why}".splitlines()[:2])
        if self._bar is not None:
            self.say(lines)
        else:
            print(lines, file=sys.stderr, flush=True)

    def scores(self, job: Job) -> str:
        """Return the scores of a finished run, in words."""
        return closing_summary(job.path)

    def look(self, running: Collection[Job]) -> None:
        """Update the bars, twice a second."""
        if self._bar is None or time.perf_counter() - self._looked < 0.5:
            return
        self._looked = time.perf_counter()
        share = 0.0
        for job in running:
            place = position(job.path)
            if place is None:
                continue
            share += place[0] / place[1]
            if job not in self._tasks and len(self._tasks) < self.console.height - 4:
                self._tasks[job] = self._bar.add_task(job.label or job.path.name, total=place[1], place="")
            if job in self._tasks:
                self._bar.update(self._tasks[job], completed=place[0], place=f"{place[0]}/{place[1]}")
        self._show_all(share)

    def _show_all(self, share: float) -> None:
        """Set the bar of all runs to those that ended plus the `share` that the others have done."""
        if self._bar is not None:
            place = f"{self.ended_count}/{self.total}"
            self._bar.update(self._all, completed=self.ended_count + share, place=place)

    def close(self) -> None:
        """Remove the bars."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def close_with(self, outcomes: Mapping[Job, Outcome]) -> None:
        """Write how all runs of the sweep ended: counts, and the reasons of failures."""
        self.console.print(sweep_table(outcomes))


def sweep_table(outcomes: Mapping[Job, Outcome]) -> Table:
    """Return the table of how many runs ended in which way, with the reasons of failures."""
    table = Table()
    table.add_column("sweep", overflow="fold")
    table.add_column("runs", justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for status, meaning in MEANINGS.items():
        mine = {job: outcome for job, outcome in outcomes.items() if outcome.status == status}
        if not mine:
            continue
        lines = [meaning] if meaning else []
        if status in FAILURES:
            lines = [f"{job}: {' '.join(outcome.why.splitlines()) or '?'}" for job, outcome in mine.items()]
            if len(lines) > SHOWN:
                lines[SHOWN:] = [f"… and {len(lines) - SHOWN} more"]
        table.add_row(status, str(len(mine)), Text("\n".join(lines)))
    return table


def position(folder: Path) -> tuple[int, int] | None:
    """Return the last iteration recorded of the run in `folder`, and how many it will make; None if it does not run."""
    manifest = Manifest.read(folder)
    if manifest.status != RunStatus.RUNNING or not manifest.iterations:
        return None
    return last_iteration(folder / "metrics.csv"), manifest.iterations


def closing_summary(folder: Path) -> str:
    """Return the `summary` of the last evaluation of the finished run in `folder`."""
    manifest = Manifest.read(folder)
    final = manifest.get("final")
    return summary(final.values(), manifest) if isinstance(final, dict) and final else ""
