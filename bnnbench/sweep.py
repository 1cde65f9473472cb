"""`bnnbench run -m`: all runs are checked before the first starts, none is done twice, none stops the others.

Exit code: 0 all finished, now or before; 1 a configuration is wrong (nothing was started) or a run failed; 75 nothing
failed, but another process is writing some of the runs; 130 interrupted. The same command does what is left.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper as HydraSweeper

from bnnbench.errors import BnnbenchError, ConfigError, InUseError
from bnnbench.launchers.base import FuturesLauncher
from bnnbench.launchers.jobs import FAILED, FINISHED, IN_USE, INTERRUPTED, NOT_STARTED, SKIPPED, Job, Outcome, resolve
from bnnbench.launchers.jobs import labels as differences

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from bnnbench.launchers.report import SweepReporter

SHOWN = 20  # problems, and failures


@functools.cache
def register() -> None:
    """Make the sweeper and the launchers known to Hydra.

    Hydra takes plug-ins only from modules below ``hydra_plugins``, a folder beside packages. Ours lie in the package,
    so a module of that name is made here.
    """
    from bnnbench.launchers.local import Local
    from bnnbench.launchers.ray import Ray
    from bnnbench.launchers.slurm import Slurm

    plugins = Plugins.instance()  # looks for those that are installed
    try:
        parent = importlib.import_module("hydra_plugins")
    except ImportError:
        parent = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
        parent.__path__ = []
    module = sys.modules["hydra_plugins.bnnbench"] = parent.bnnbench = ModuleType("hydra_plugins.bnnbench")
    for plugin in (Sweeper, Local, Slurm, Ray):
        named = type(plugin.__name__, (plugin,), {"__module__": module.__name__})
        setattr(module, plugin.__name__, named)
        plugins.register(named)


class Sweeper(HydraSweeper):
    """Every combination of the values given, as Hydra's basic sweeper makes them.

    Args:
        params: swept keys that stand in a file, as ``key: "1,2,3"``.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        super().__init__()
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Check all runs, do what is left to do, and say how each ended.

        Raises:
            ConfigError: at least one run is wrong, or the results cannot be written; nothing was started.
            BnnbenchError: runs failed. InUseError: none failed, but another process is writing some.
            KeyboardInterrupt: the sweep was stopped.
        """
        from bnnbench.records import check_writable, is_finished

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        combinations = BasicSweeper.split_arguments(overrides, None)[0]
        if not combinations:
            raise ConfigError("The sweep has no run: one of the keys was given no value, as by range(0,0) or glob(x*).")
        jobs = list(dict.fromkeys(plan(self.hydra_context, self.config, combinations)))
        todo = [job for job in jobs if job.raw["force"] or not is_finished(job.path)]

        check_sizes(todo)
        for results in dict.fromkeys(job.raw["results"] for job in todo):
            check_writable(results)

        outcomes = {job: Outcome(SKIPPED) for job in jobs}
        with reporter_for(todo) as reporter:
            reporter.say(_opening(len(combinations), len(jobs), len(todo)))
            if todo:
                outcomes |= launch(self.launcher, todo, reporter)
        for job, outcome in outcomes.items():
            if outcome.status == IN_USE and is_finished(job.path):  # the other process came to its end meanwhile
                outcomes[job] = Outcome(SKIPPED)
        reporter.close_with(outcomes)
        judge(outcomes)


def plan(context: HydraContext, config: DictConfig, combinations: Sequence[Sequence[str]], first: int = 0) -> list[Job]:
    """Return the job of each of `combinations`, all of them checked; equal runs are one and the same job.

    Raises:
        ConfigError: one line for every distinct problem.
    """
    from bnnbench.assembly import check
    from bnnbench.compose import translate
    from bnnbench.records import run_path

    jobs: list[Job] = []
    by_path: dict[Any, Job] = {}
    problems: dict[str, list[Sequence[str]]] = {}
    for number, (overrides, label) in enumerate(zip(combinations, differences(combinations), strict=True), first):
        try:
            raw = resolve(context, config, overrides, number)
            check(raw)
        except Exception as error:
            mine = translate(error)
            if not isinstance(mine, BnnbenchError):
                raise
            for line in str(mine).splitlines():
                problems.setdefault(line, []).append(overrides)
            continue
        job = Job(tuple(overrides), raw, label, run_path(raw))
        jobs.append(by_path.setdefault(job.path.absolute(), job))
    if problems:
        raise ConfigError(_refusal(problems, combinations))
    return jobs


def check_sizes(jobs: Sequence[Job]) -> None:
    """Check what depends on the data, of each dataset once. Data that cannot be read are their run's own failure.

    Raises:
        ConfigError: one line for every distinct problem.
    """
    from bnnbench.assembly import check, check_size

    problems: dict[str, list[Sequence[str]]] = {}
    sizes: dict[str, int] = {}
    for job in jobs:
        try:
            check_size(check(job.raw), sizes)
        except ConfigError as error:
            problems.setdefault(" ".join(str(error).split()), []).append(job.overrides)
        except Exception:  # data that are missing, or a reader with a fault
            continue
    if problems:
        raise ConfigError(_refusal(problems, [job.overrides for job in jobs]))


def _refusal(problems: Mapping[str, Sequence[Sequence[str]]], combinations: Sequence[Sequence[str]]) -> str:
    """Return a line for every problem, with the overrides that all runs which have it share, and others do not.

    Args:
        problems: a line → the combinations that have this problem.
        combinations: all of them.
    """
    everywhere = set(combinations[0]).intersection(*combinations)
    lines: list[str] = []
    before: Sequence[Sequence[str]] = ()
    for what, wrong in problems.items():
        shared = set(wrong[0]).intersection(*wrong) - everywhere
        named = " ".join(override for override in wrong[0] if override in shared and override not in what)
        lines.append(f"{named}: {what}" if named and wrong != before else what)
        before = wrong
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"… and {len(lines) - SHOWN} more"]
    count = len({tuple(overrides) for wrong in problems.values() for overrides in wrong})
    return "\n".join([*lines, f"{count} of {len(combinations)} runs cannot start, so none was started."])


def _opening(combinations: int, jobs: int, todo: int) -> str:
    twice = combinations - jobs
    parts = [f"{jobs} run{'s' * (jobs != 1)}"]
    parts += [f"{twice} of {combinations} combinations are the same as another"] * bool(twice)
    parts += [f"{jobs - todo} finished before"] * (todo < jobs)
    return ", ".join(parts)


def reporter_for(jobs: Sequence[Job]) -> SweepReporter:
    """Return who tells of `jobs`."""
    from bnnbench.launchers.report import SweepReporter
    from bnnbench.progress import make_console

    return SweepReporter(len(jobs), make_console())


def launch(launcher: Launcher, jobs: Sequence[Job], reporter: SweepReporter) -> dict[Job, Outcome]:
    """Run `jobs`; of a launcher that is not ours, the runs' own records say how they ended."""
    if isinstance(launcher, FuturesLauncher):
        return launcher.run(jobs, reporter)
    from bnnbench.records import is_finished

    reporter.close()  # it writes as it likes
    returns = launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=0)
    return {
        job: Outcome(FINISHED) if is_finished(job.path) else Outcome(FAILED, _why(returned))
        for job, returned in zip(jobs, returns, strict=True)
    }


def _why(returned: JobReturn) -> str:
    value = returned._return_value
    return str(value) if isinstance(value, Exception) else "see above"


def judge(outcomes: Mapping[Job, Outcome]) -> None:
    """Return if all runs are finished, and raise what the command shall end with if not."""
    count = {status: sum(o.status == status for o in outcomes.values()) for status in (FAILED, IN_USE)}
    if any(outcome.status in (INTERRUPTED, NOT_STARTED) for outcome in outcomes.values()):
        raise KeyboardInterrupt
    if count[FAILED]:
        raise BnnbenchError(
            f"{count[FAILED]} of {len(outcomes)} runs failed, see above. Finished ones are not run again."
        )
    if count[IN_USE]:
        raise InUseError(f"{count[IN_USE]} of {len(outcomes)} runs are in use by another process; try again later.")
