"""Worker processes on this machine, each with its share of the cores or a GPU, each used for many runs.

Every slot has an executor of its own with one process: a process that dies takes one run with it, and its slot gets a
new one. (A shared executor would break as a whole.)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bnnbench.experiment.cores import usable_cores
from bnnbench.sweep.jobs import Job
from bnnbench.sweep.launchers import worker
from bnnbench.sweep.launchers.base import TICK, FuturesLauncher, Handle

KEPT_LINES = 12  # of the last output of a process that died


class Local(FuturesLauncher):
    """A pool of processes: by default one for each GPU, or without GPUs one for each usable core.

    With ``threads: auto`` a run has as many threads as there are cores for each process, or $OMP_NUM_THREADS.
    """

    def start(self, jobs: Sequence[Job]) -> str:
        """Decide the number of processes and the share of each; they start with their first run."""
        from bnnbench.experiment.machine import SHARE

        gpus = visible_gpus() if any(str(job.raw["device"]) != "cpu" for job in jobs) else []
        share = usable_cores() // max((job.raw["threads"] for job in jobs if job.raw["threads"] != "auto"), default=1)
        wanted = self.n_jobs if isinstance(self.n_jobs, int) else len(gpus) or max(1, share)
        self.slots = max(1, min(wanted, len(jobs)))
        # A run that names its GPU, as cuda:1, must see all of them.
        hides = bool(gpus) and all(str(job.raw["device"]) in ("auto", "cuda", "cpu") for job in jobs)
        self._folder = tempfile.TemporaryDirectory(prefix="bnnbench-", ignore_cleanup_errors=True)
        threads = max(1, usable_cores() // self.slots)
        self._pool = []
        for number in range(self.slots):
            environment = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads), SHARE: "1"}
            if hides:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            self._pool.append(_Slot(environment, Path(self._folder.name) / f"worker-{number}.log"))
        return f"{self.slots} at a time" + (f", on {len(gpus)} GPU{'s' * (len(gpus) > 1)}" if gpus else "")

    def submit(self, jobs: Sequence[Job], running: Collection[Handle]) -> Sequence[Future[Any]]:
        """Give each of `jobs` to an idle process whose last outcome has been collected."""
        free = [slot for slot in self._pool if slot.future not in running]
        return [slot.submit(job) for slot, job in zip(free, jobs, strict=False)]

    def wait(self, running: Collection[Handle]) -> None:
        """Return when a run ends, after a `TICK` at the latest."""
        wait_for(
            [slot.future for slot in self._pool if slot.future is not None and slot.future in running],
            TICK,
            FIRST_COMPLETED,
        )

    def interrupt(self, running: Collection[Handle]) -> None:
        """Ask every process to stop its run."""
        for slot in self._pool:
            if slot.process is not None:
                slot.process.terminate()  # SIGTERM: the request, see worker.py

    def kill(self, running: Collection[Handle]) -> None:
        """Kill every process."""
        for slot in self._pool:
            if slot.process is not None:
                slot.process.kill()

    def died(self, handle: Handle, error: Exception) -> tuple[str, str]:
        """Return how the process ended, and its last output."""
        return self._slot(handle).end()

    def retire(self, handle: Handle) -> None:
        """Replace the process of `handle` by a new one."""
        self._slot(handle).end()

    def _slot(self, handle: Handle) -> _Slot:
        return next(slot for slot in self._pool if slot.future is handle)

    def close(self) -> None:
        """End all processes, and wait for them to exit."""
        for slot in self._pool:  # one after the other: after wait=False they could no longer be waited for
            slot.executor.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


class _Slot:
    """One process and its present run."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment, self.log = environment, log
        self.future: Future[Any] | None = None
        self._open()

    def _open(self) -> None:
        self.executor = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),  # a forked process cannot use a GPU
            initializer=worker.prepare,
            initargs=(self.environment, str(self.log)),
        )
        self.process: Any = None

    def submit(self, job: Job) -> Future[Any]:
        """Start `job`, and the process if there is none."""
        if self.process is not None and not self.process.is_alive():  # between two runs: nothing was lost
            self.end()
        if self.process is not None:
            self.future = self.executor.submit(worker.work, job.raw)
            return self.future
        before = set(multiprocessing.active_children())
        with _ctrl_c_later():
            self.future = self.executor.submit(worker.work, job.raw)
        (self.process,) = set(multiprocessing.active_children()) - before
        return self.future

    def end(self) -> tuple[str, str]:
        """Replace a process that died; return how it died, and its last output."""
        self.executor.shutdown(wait=True)
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            why = "its process was killed (SIGKILL): out of memory?"
        elif code is not None and code < 0:
            why = f"its process died of {signal.Signals(-code).name}"
        else:
            why = f"its process ended with exit code {code}"
        try:
            last = self.log.read_text(errors="replace").splitlines()[-KEPT_LINES:]
        except OSError:
            last = []
        self._open()
        return why, "\n".join(last)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Block SIGINT. A process created meanwhile inherits this, and is not interrupted while it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as $CUDA_VISIBLE_DEVICES writes them."""
    import torch

    count = torch.cuda.device_count()
    named = [word.strip() for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word.strip()]
    return named[:count] if named else [str(i) for i in range(count)]
