"""The loop that every launcher shares: submit jobs, collect results, stop when asked, lose no outcome."""

from __future__ import annotations

import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from types import FrameType, TracebackType
from typing import Any, Protocol

from bnnbench.errors import ConfigError
from bnnbench.sweep.jobs import Job, Outcome, Status

TICK = 0.1  # seconds between two polls of the running jobs


class Handle(Protocol):
    """A submitted job: a future of concurrent.futures, or a cluster's equivalent."""

    def done(self) -> bool: ...

    def result(self) -> Any: ...


class Observer(Protocol):
    """Receives the events of a sweep."""

    def started(self, job: Job) -> None: ...

    def ended(self, job: Job, outcome: Outcome) -> None: ...

    def look(self, running: Collection[Job]) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...


class Launcher(ABC):
    """Runs jobs somewhere: in processes here, or on a cluster."""

    def check(self) -> None:
        """Raise BnnbenchError if an option is wrong or a package that this launcher needs is not installed."""
        return

    @abstractmethod
    def run(self, jobs: Sequence[Job], observer: Observer) -> dict[Job, Outcome]:
        """Run `jobs` and return how each ended."""


class FuturesLauncher(Launcher):
    """A launcher whose back end gives a handle for every job.

    Args:
        n_jobs: how many jobs at a time; ``auto`` leaves it to the back end.

    Attributes:
        slots: the number of jobs submitted at a time, set by `start`.
    """

    def __init__(self, n_jobs: int | str = "auto") -> None:
        self.n_jobs = n_jobs
        self.slots = 1

    def check(self) -> None:
        """Raise ConfigError if `n_jobs` is neither a number of jobs nor ``auto``."""
        whole = isinstance(self.n_jobs, int) and not isinstance(self.n_jobs, bool) and self.n_jobs >= 1
        if not (whole or self.n_jobs == "auto"):
            raise ConfigError(f"hydra.launcher.n_jobs={self.n_jobs}: input should be 'auto' or a whole number >= 1.")

    def run(self, jobs: Sequence[Job], observer: Observer) -> dict[Job, Outcome]:
        """Run `jobs` and return how each ended.

        Ctrl-C once: no further job starts and running ones are asked to stop. Twice: they are killed.
        """
        outcomes = dict.fromkeys(jobs, Outcome(Status.NOT_STARTED))
        waiting = deque(jobs)
        running: dict[Handle, Job] = {}
        asked = 0
        with _Interrupts() as interrupts:
            observer.say(self.start(jobs))
            try:
                while waiting or running:
                    if interrupts.count > asked:
                        asked = interrupts.count
                        waiting.clear()
                        self._stop(asked, running, observer)
                    handed = [waiting.popleft() for _ in range(min(len(waiting), self.slots - len(running)))]
                    for job, handle in zip(handed, self.submit(handed, running) if handed else (), strict=True):
                        running[handle] = job
                        observer.started(job)
                    self.wait(running)
                    for handle in [handle for handle in running if handle.done()]:
                        job = running.pop(handle)
                        outcomes[job] = self._outcome(handle, job, stopping=asked > 0)
                        observer.ended(job, outcomes[job])
                    observer.look(running.values())
            finally:
                if running:  # an internal error: leave nothing running
                    self.kill(running)
                self.close()
        return outcomes

    def _stop(self, asked: int, running: Collection[Handle], observer: Observer) -> None:
        if asked == 1:
            observer.say("stopping: running jobs are asked to stop and can be resumed; press Ctrl-C again to kill them")
            self.interrupt(running)
        else:
            self.kill(running)

    def _outcome(self, handle: Handle, job: Job, stopping: bool) -> Outcome:
        from bnnbench.store.folder import is_finished
        from bnnbench.sweep.launchers.worker import keep_failure

        trace = ""
        try:
            outcome = Outcome(*handle.result())
        except Exception as error:  # the process died, or the cluster gave up
            why, trace = self.died(handle, error)
            if is_finished(job.path) and not job.raw["force"]:  # it died after its last write
                return Outcome(Status.FINISHED)
            outcome = Outcome(Status.INTERRUPTED if stopping else Status.FAILED, why)
        else:
            if stopping or outcome.status not in (Status.INTERRUPTED, Status.NOT_STARTED):
                return outcome
            self.retire(handle)  # once told to stop, it takes no other run
            outcome = Outcome(Status.STOPPED, "its process was told to stop from outside (SIGTERM)", outcome.seconds)
        if outcome.status in (Status.FAILED, Status.STOPPED):
            keep_failure(job.raw, outcome.why, trace)
        return outcome

    # To be provided by a back end.

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> str:
        """Prepare for `jobs`, set `slots`, and return a line that says where they run."""

    @abstractmethod
    def submit(self, jobs: Sequence[Job], running: Collection[Handle]) -> Sequence[Handle]:
        """Submit `jobs` beside those `running`; never more than there are free slots."""

    def wait(self, running: Collection[Handle]) -> None:
        """Return when one of `running` may have ended, after a `TICK` at the latest."""
        time.sleep(TICK)

    @abstractmethod
    def interrupt(self, running: Collection[Handle]) -> None:
        """Ask the running jobs to stop, leaving folders that can be resumed."""

    @abstractmethod
    def kill(self, running: Collection[Handle]) -> None:
        """Kill the running jobs."""

    def died(self, handle: Handle, error: Exception) -> tuple[str, str]:
        """Return why there is no result, and further details."""
        return f"{type(error).__name__}: {error}", ""

    def retire(self, handle: Handle) -> None:
        """Stop using the process of `handle`."""

    def close(self) -> None:
        """Leave nothing running."""


class _Interrupts:
    """Counts SIGINT and SIGTERM instead of leaving the loop at once; the loop reacts at its next tick."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> _Interrupts:
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # signal handlers can be set there alone
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._add)
        return self

    def _add(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
