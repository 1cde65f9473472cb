"""Slurm, through submitit: the runs are one job array, and a run that is cut off is queued again and resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bnnbench.errors import BnnbenchError
from bnnbench.sweep.jobs import Job, Outcome, Status
from bnnbench.sweep.launchers.base import FuturesLauncher, Handle

QUEUE_EVERY = 15.0  # seconds between two looks at the queue
KEPT_LINES = 12  # of the last output of a job that died


class Slurm(FuturesLauncher):
    """A job array of Slurm.

    Args:
        n_jobs: runs at a time; ``auto``: as many as Slurm gives.
        cluster: ``slurm``, or ``local`` for processes of this machine, all at once, to try it without Slurm.
        folder: scripts and logs, on a file system that every node sees.
        requeues: how often a run that reaches its time limit is queued again.
        options: what submitit calls them: timeout_min, cpus_per_task, gpus_per_node, mem_gb; and, without their
            prefix ``slurm_``, partition, account, setup, additional_parameters.
    """

    def __init__(self, n_jobs: int | str = "auto", *, cluster: str, folder: str, requeues: int, **options: Any) -> None:
        super().__init__(n_jobs)
        self.cluster, self.folder, self.requeues, self.options = cluster, folder, requeues, options

    def check(self) -> None:
        """Raise BnnbenchError if an option is wrong or submitit is not installed."""
        super().check()
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise BnnbenchError("hydra/launcher=slurm needs submitit: pip install 'bnnbench[slurm]'.") from None

    def start(self, jobs: Sequence[Job]) -> str:
        """Make submitit's executor. All jobs are handed out at once: the queue is Slurm's."""
        import submitit

        general = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")
        options = {k if k in general else f"slurm_{k}": v for k, v in self.options.items() if v not in (None, [], {})}
        if isinstance(self.n_jobs, int):
            options["slurm_array_parallelism"] = self.n_jobs
        try:
            self._executor = submitit.AutoExecutor(
                self.folder, cluster=self.cluster, slurm_max_num_timeout=self.requeues
            )
            self._executor.update_parameters(name="bnnbench", **options)
        except (RuntimeError, ValueError, TypeError, NameError) as error:  # no sbatch here; no such option
            raise BnnbenchError(f"hydra/launcher=slurm: {str(error).splitlines()[0]}") from error
        self.slots = len(jobs)
        return f"queued by {self.cluster}, logs in {self.folder}"

    def submit(self, jobs: Sequence[Job], running: Collection[Handle]) -> Sequence[Handle]:
        """Hand `jobs` to Slurm as one array."""
        self._looked = time.monotonic()
        self._missing: set[_Queued] = set()
        self._stopping = False
        try:
            return [_Queued(job) for job in self._executor.map_array(Resumable(), [dict(job.raw) for job in jobs])]
        except (subprocess.CalledProcessError, RuntimeError, OSError) as error:
            said = str(error).strip().splitlines()
            raise BnnbenchError(f"hydra/launcher=slurm: sbatch refused: {said[-1] if said else error}") from error

    def wait(self, running: Collection[Handle]) -> None:
        """Poll the queue: without Slurm's accounting, a job's disappearance is all there is to know."""
        time.sleep(0.5)
        if self.cluster != "slurm" or time.monotonic() - self._looked < (1.0 if self._stopping else QUEUE_EVERY):
            return
        self._looked = time.monotonic()
        try:
            listed = subprocess.run(
                ["squeue", "--noheader", "--array", "--me", "--format=%i"], capture_output=True, text=True, check=True
            ).stdout.split()
        except (OSError, subprocess.CalledProcessError):  # the controller is busy: try at the next poll
            return
        absent = {handle for handle in running if isinstance(handle, _Queued) and handle.job.job_id not in listed}
        # Missing twice: a result just written may take a moment to appear on another node.
        for handle in absent if self._stopping else absent & self._missing:
            handle.gone = True
        self._missing = absent

    def interrupt(self, running: Collection[Handle]) -> None:
        """Cancel all jobs; running ones get SIGTERM and a few seconds."""
        self._stopping = True
        for handle in running:
            assert isinstance(handle, _Queued)
            handle.job.cancel(check=False)

    def kill(self, running: Collection[Handle]) -> None:
        """Stop waiting: Slurm kills what is left after its KillWait."""
        self.interrupt(running)
        for handle in running:
            assert isinstance(handle, _Queued)
            handle.gone = True

    def died(self, handle: Handle, error: Exception) -> tuple[str, str]:
        """Return what Slurm says of the job, and the last lines of its log."""
        assert isinstance(handle, _Queued)
        try:
            last = handle.job.paths.stderr.read_text(errors="replace").splitlines()[-KEPT_LINES:]
        except OSError:
            last = []
        state = handle.job.state if self.cluster == "slurm" else "UNKNOWN"
        told = "" if state == "UNKNOWN" else f" ({state})"
        why = f"job {handle.job.job_id} ended without a result{told}; its log: {handle.job.paths.stderr}"
        return why, "\n".join(last)


class _Queued:
    """A job of submitit."""

    def __init__(self, job: Any) -> None:
        self.job, self.gone = job, False

    def done(self) -> bool:
        """Whether there is a result, or there will be none."""
        return self.gone or self.job.done()

    def result(self) -> Any:
        """Return what the job returned; raise if it did not."""
        if self.gone and not self.job.paths.result_pickle.exists():
            raise RuntimeError("no longer in the queue")
        return self.job.result()


class Resumable:
    """The work of one job. At its time limit, or when it is preempted, submitit queues it again."""

    def __call__(self, raw: Mapping[str, Any]) -> Outcome:
        """Run the resolved configuration `raw`."""
        if "SLURM_CPUS_PER_TASK" in os.environ:  # read by torch when it is imported
            os.environ.setdefault("OMP_NUM_THREADS", os.environ["SLURM_CPUS_PER_TASK"])
        from bnnbench.sweep.launchers.worker import ask, execute

        signal.signal(signal.SIGTERM, ask)  # of scancel; submitit would ignore it, until SIGKILL
        outcome = execute(raw)
        if outcome.status == Status.INTERRUPTED:
            sys.exit("interrupted")  # and no result: Slurm may start it again
        return outcome

    def checkpoint(self, raw: Mapping[str, Any]) -> Any:
        """Return what to queue again: the same job, which resumes from the run's checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, {**raw, "force": False})
