"""All that knows Hydra's plug-ins: the sweeper and the launchers as Hydra wants them.

Hydra makes plug-ins from ``_target_`` only below ``hydra_plugins``, a namespace beside all packages. Ours lie in the
package, so `register` makes a module ``hydra_plugins.bnnbench`` that holds the sweeper and, for every file of
``launchers/``, the launcher that it defines.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher as HydraLauncher
from hydra.plugins.sweeper import Sweeper as HydraSweeper

from bnnbench.config.plugins import names
from bnnbench.errors import BnnbenchError
from bnnbench.sweep.jobs import Job, Outcome, Status
from bnnbench.sweep.launchers.base import Launcher, Observer
from bnnbench.sweep.plan import plan
from bnnbench.sweep.report import SweepReporter
from bnnbench.sweep.sweep import raise_for, sweep

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Request:
    """What the command line asks a sweeper for.

    Attributes:
        overrides: of the runs, with several values for some keys.
        launcher: where the runs take place.
        config_dirs: further folders of yaml files.
        common: Hydra's own overrides, the same for every run.
        method: the method in use where `overrides` name none.
    """

    overrides: list[str]
    launcher: Launcher
    config_dirs: list[str]
    common: list[str]
    method: str


def run_sweep(request: Request) -> None:
    """Do what ``bnnbench run -m`` does."""
    sweep(request.overrides, request.launcher, request.config_dirs, common=request.common)


_action: Callable[[Request], None] = run_sweep


@contextmanager
def sweeping_by(action: Callable[[Request], None]) -> Iterator[None]:
    """Let `action` handle what the sweeper is asked for, within a ``with`` block."""
    global _action
    before, _action = _action, action
    try:
        yield
    finally:
        _action = before


class Sweeper(HydraSweeper):
    """Every combination of the values given.

    Args:
        params: swept keys from a file, as ``key: "1,2,3"``.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        super().__init__()
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over, and make the launcher."""
        self.config = config
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.ours = launcher if isinstance(launcher, Launcher) else _Foreign(launcher)

    def sweep(self, arguments: list[str]) -> None:
        """Hand the request over."""
        assert self.config is not None, "setup() comes first"
        given = [f"{key}={value}" for key, value in self.params.items()]
        method = str(self.config.hydra.runtime.choices["method"])
        _action(Request([*given, *arguments], self.ours, *_surroundings(self.config), method))


class _AsHydraLauncher(HydraLauncher):
    """Hydra's side of a launcher: the methods it calls for a sweeper other than ours."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over. The task function is not used: every job is a run."""
        assert isinstance(self, Launcher)
        self.check()
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs, and return for each the path of its folder or its failure."""
        from bnnbench.experiment.progress import make_console

        assert isinstance(self, Launcher) and self.config is not None
        config_dirs, common = _surroundings(self.config)
        jobs = plan(job_overrides, config_dirs, common=common, first=initial_job_idx)
        with SweepReporter(len(jobs), make_console(records=True)) as reporter:
            outcomes = self.run(list(dict.fromkeys(jobs)), reporter)
        raise_for({job: outcome for job, outcome in outcomes.items() if outcome.status not in _FAILURES})
        return [_as_hydra_wants(job, outcomes[job]) for job in jobs]


class _Foreign(Launcher):
    """A launcher of Hydra's or of a third party: the runs' own records tell how they ended."""

    def __init__(self, launcher: HydraLauncher) -> None:
        self.launcher = launcher

    def run(self, jobs: Sequence[Job], observer: Observer) -> dict[Job, Outcome]:
        """Run `jobs` and return how each ended."""
        from bnnbench.store.folder import is_finished

        observer.close()  # its output is its own
        returns = self.launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=0)
        return {
            job: Outcome(Status.FINISHED) if is_finished(job.path) else Outcome(Status.FAILED, _why(returned))
            for job, returned in zip(jobs, returns, strict=True)
        }


_FAILURES = (Status.FAILED, Status.STOPPED)


@functools.cache
def register() -> None:
    """Make the sweeper and the launchers known to Hydra."""
    plugins = Plugins.instance()  # discovers those that are installed
    try:
        parent = importlib.import_module("hydra_plugins")
    except ImportError:
        parent = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
        parent.__path__ = []
    module = sys.modules["hydra_plugins.bnnbench"] = ModuleType("hydra_plugins.bnnbench")
    parent.bnnbench = module  # type: ignore[attr-defined]
    for plugin in (Sweeper, *(_adapted(launcher) for launcher in launchers())):
        named = type(plugin.__name__, (plugin,), {"__module__": module.__name__})
        setattr(module, plugin.__name__, named)
        plugins.register(named)


def launchers() -> list[type[Launcher]]:
    """Return the launcher that each file of ``launchers/`` defines."""
    found = []
    for name in names("sweep/launchers"):
        module = importlib.import_module(f"bnnbench.sweep.launchers.{name}")
        found += [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, Launcher)
            and value.__module__ == module.__name__
            and not inspect.isabstract(value)
        ]
    return found


def _adapted(launcher: type[Launcher]) -> type:
    return type(launcher.__name__, (launcher, _AsHydraLauncher), {})


def _surroundings(config: DictConfig) -> tuple[list[str], list[str]]:
    """Return the folders of ``--config-dir`` and Hydra's own overrides."""
    folders = [source.path for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    return folders, list(config.hydra.overrides.hydra)


def _why(returned: JobReturn) -> str:
    value = returned._return_value
    return str(value) if isinstance(value, Exception) else "see above"


def _as_hydra_wants(job: Job, outcome: Outcome) -> JobReturn:
    failed = outcome.status in _FAILURES
    value: Any = BnnbenchError(outcome.why) if failed else str(job.path)
    status = JobStatus.FAILED if failed else JobStatus.COMPLETED
    return JobReturn(overrides=list(job.overrides), status=status, _return_value=value)
