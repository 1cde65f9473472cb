"""The loop that every launcher shares: hand jobs out, take results in, stop when asked, lose no outcome."""

from __future__ import annotations

import signal
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.launchers.jobs import FAILED, FINISHED, INTERRUPTED, NOT_STARTED, Job, Outcome

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

TICK = 0.1  # seconds between two looks at what runs


class Handle(Protocol):
    """What stands for a submitted job: a future of concurrent.futures, or what a cluster gives in its place."""

    def done(self) -> bool: ...

    def result(self) -> Any: ...


class Watcher(Protocol):
    """Who is told of what happens."""

    def started(self, job: Job) -> None: ...

    def ended(self, job: Job, outcome: Outcome) -> None: ...

    def look(self, running: Collection[Job]) -> None: ...

    def say(self, text: str) -> None: ...


class FuturesLauncher(Launcher):
    """A launcher whose back end gives a handle for every job.

    Args:
        n_jobs: how many jobs at a time; ``auto`` leaves it to the back end.

    Attributes:
        slots: as many jobs are handed out at a time, once `start` has been called.
    """

    def __init__(self, n_jobs: int | str = "auto") -> None:
        super().__init__()
        self.n_jobs = n_jobs
        self.slots = 1

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over. The task function is not used: every job is a run."""
        self.hydra_context, self.config = hydra_context, config
        whole = isinstance(self.n_jobs, int) and not isinstance(self.n_jobs, bool) and self.n_jobs >= 1
        if not (whole or self.n_jobs == "auto"):
            raise ConfigError(f"hydra.launcher.n_jobs={self.n_jobs}: input should be 'auto' or a whole number >= 1.")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweeper that is not ours, and return for each the path of its folder or its failure."""
        from bnnbench.sweep import judge, plan, reporter_for

        jobs = plan(self.hydra_context, self.config, job_overrides, initial_job_idx)
        with reporter_for(jobs) as reporter:
            outcomes = self.run(list(dict.fromkeys(jobs)), reporter)
        judge({job: outcome for job, outcome in outcomes.items() if outcome.status != FAILED})
        return [_as_hydra_wants(job, outcomes[job]) for job in jobs]

    def run(self, jobs: Sequence[Job], watcher: Watcher) -> dict[Job, Outcome]:
        """Run `jobs` and return how each ended.

        Ctrl-C once: no other job starts and those that run are asked to stop. Twice: they are killed.
        """
        outcomes = dict.fromkeys(jobs, Outcome(NOT_STARTED))
        waiting, running = deque(jobs), {}
        asked = 0
        with _Interrupts() as interrupts:
            watcher.say(self.start(jobs))
            try:
                while waiting or running:
                    if interrupts.count > asked:
                        asked = interrupts.count
                        waiting.clear()
                        self._stop(asked, running, watcher)
                    handed = [waiting.popleft() for _ in range(min(len(waiting), self.slots - len(running)))]
                    for job, handle in zip(handed, self.submit(handed, running) if handed else (), strict=True):
                        running[handle] = job
                        watcher.started(job)
                    self.wait(running)
                    for handle in [handle for handle in running if handle.done()]:
                        job = running.pop(handle)
                        outcomes[job] = self._outcome(handle, job, stopping=asked > 0)
                        watcher.ended(job, outcomes[job])
                    watcher.look(running.values())
            finally:
                if running:  # an error of ours: leave nothing behind
                    self.kill(running)
                self.close()
        return outcomes

    def _stop(self, asked: int, running: Collection[Handle], watcher: Watcher) -> None:
        if asked == 1:
            watcher.say("stopping: what runs is asked to stop and can be resumed; Ctrl-C once more stops it at once")
            self.interrupt(running)
        else:
            self.kill(running)

    def _outcome(self, handle: Handle, job: Job, stopping: bool) -> Outcome:
        from bnnbench.launchers.worker import keep_failure
        from bnnbench.records import is_finished

        trace = ""
        try:
            outcome = Outcome(*handle.result())
        except Exception as error:  # the process died, or the cluster gave up
            why, trace = self.died(handle, error)
            if is_finished(job.path) and not job.raw["force"]:  # on its way out
                return Outcome(FINISHED)
            outcome = Outcome(INTERRUPTED if stopping else FAILED, why)
        else:
            if stopping or outcome.status not in (INTERRUPTED, NOT_STARTED):
                return outcome
            self.retire(handle)  # asked once, it takes no other run
            outcome = Outcome(FAILED, "its process was told to stop from outside (SIGTERM)", outcome.seconds)
        if outcome.status == FAILED:
            keep_failure(job.raw, outcome.why, trace)
        return outcome

    # What a back end provides.

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> str:
        """Make ready for `jobs`, set `slots`, and return a line that says where they run."""

    @abstractmethod
    def submit(self, jobs: Sequence[Job], running: Collection[Handle]) -> Sequence[Handle]:
        """Hand `jobs` out, beside what is `running`: never more than there are free slots."""

    def wait(self, running: Collection[Handle]) -> None:
        """Return when one of `running` may have ended, after a `TICK` at the latest."""
        time.sleep(TICK)

    @abstractmethod
    def interrupt(self, running: Collection[Handle]) -> None:
        """Ask what runs to stop; it leaves folders that can be resumed."""

    @abstractmethod
    def kill(self, running: Collection[Handle]) -> None:
        """Stop what runs at once."""

    def died(self, handle: Handle, error: Exception) -> tuple[str, str]:
        """Return why there is no result, and what else is known of it."""
        return f"{type(error).__name__}: {error}", ""

    def retire(self, handle: Handle) -> None:
        """Use the process of `handle` no more."""

    def close(self) -> None:
        """Leave nothing running."""


class _Interrupts:
    """Counts SIGINT and SIGTERM in place of being thrown out of the loop by them; they are felt at the next tick."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> _Interrupts:
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # Python's condition
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


def _as_hydra_wants(job: Job, outcome: Outcome) -> JobReturn:
    failed = outcome.status == FAILED
    value = BnnbenchError(outcome.why) if failed else str(job.path)
    status = JobStatus.FAILED if failed else JobStatus.COMPLETED
    return JobReturn(overrides=list(job.overrides), status=status, _return_value=value)
