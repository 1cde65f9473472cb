"""Ray: every run is a task, on this machine or on a cluster whose nodes share a file system."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bnnbench.errors import BnnbenchError
from bnnbench.sweep.jobs import Job, Outcome
from bnnbench.sweep.launchers.base import FuturesLauncher, Handle


class Ray(FuturesLauncher):
    """Tasks of Ray.

    Args:
        n_jobs: runs at a time; ``auto``: as many as fit.
        address: of a running cluster; None: $RAY_ADDRESS, else this machine.
        num_cpus: cores of one run, and its threads with ``threads: auto``.
        num_gpus: GPUs of one run; fractions share one.
    """

    def __init__(self, n_jobs: int | str = "auto", *, address: str | None, num_cpus: float, num_gpus: float) -> None:
        super().__init__(n_jobs)
        self.address, self.num_cpus, self.num_gpus = address, num_cpus, num_gpus

    def check(self) -> None:
        """Raise BnnbenchError if an option is wrong or Ray is not installed."""
        super().check()
        try:
            import ray  # noqa: F401
        except ImportError:
            raise BnnbenchError("hydra/launcher=ray needs Ray: pip install 'bnnbench[ray]'.") from None

    def start(self, jobs: Sequence[Job]) -> str:
        """Connect to the cluster, or start one on this machine."""
        import ray

        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level="error", include_dashboard=None)
            except (ConnectionError, RuntimeError, ValueError) as error:
                said = str(error).strip().splitlines() or ["no answer"]
                raise BnnbenchError(f"hydra/launcher=ray: {said[0]}") from error
        have = ray.cluster_resources()
        wanted = {"CPU": self.num_cpus, "GPU": self.num_gpus}
        for kind, number in wanted.items():
            if number > (there := have.get(kind, 0)):
                self.close()
                key = f"hydra.launcher.num_{kind.lower()}s"
                raise BnnbenchError(f"{key}={number}: Ray has {there:g}, so no run would start.")
        # A run that dies is not retried: most often it is its own cause, and it can be resumed.
        self._task = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=0)(_run_at)
        self._references: dict[Any, Any] = {}
        self.slots = self.n_jobs if isinstance(self.n_jobs, int) else len(jobs)
        return f"tasks of Ray, {have.get('CPU', 0):g} cores and {have.get('GPU', 0):g} GPUs"

    def submit(self, jobs: Sequence[Job], running: Collection[Handle]) -> Sequence[Handle]:
        """Hand `jobs` to Ray."""
        handles = []
        for job in jobs:
            reference = self._task.remote(dict(job.raw), os.getcwd(), list(sys.path))
            handles.append(reference.future())
            self._references[handles[-1]] = reference
        return handles

    def interrupt(self, running: Collection[Handle]) -> None:
        """Cancel: Ray raises KeyboardInterrupt in a run."""
        self._cancel(running, force=False)

    def kill(self, running: Collection[Handle]) -> None:
        """Cancel, and end the processes."""
        self._cancel(running, force=True)

    def _cancel(self, running: Collection[Handle], force: bool) -> None:
        import ray

        for handle in running:
            ray.cancel(self._references[handle], force=force)

    def died(self, handle: Handle, error: Exception) -> tuple[str, str]:
        """Return Ray's reason, and its full message."""
        return f"its process died: {type(error).__name__} of Ray (out of memory?)", str(error)

    def close(self) -> None:
        """Disconnect from the cluster; one that was started here ends."""
        import ray

        if self._ours:
            ray.shutdown()


def _run_at(raw: Mapping[str, Any], directory: str, path: Sequence[str]) -> Outcome:
    """Run `raw` in the sweep's directory and with its import path, as the other launchers do."""
    sys.path += [entry for entry in path if entry not in sys.path]
    os.chdir(directory)
    from bnnbench.sweep.launchers.worker import execute

    return execute(raw)
