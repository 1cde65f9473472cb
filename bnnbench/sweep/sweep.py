"""A sweep: all runs are checked before the first starts, none is done twice, none stops the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bnnbench.errors import BnnbenchError, InUseError
from bnnbench.sweep.jobs import Job, Outcome, Status
from bnnbench.sweep.launchers.base import Launcher
from bnnbench.sweep.plan import check_sizes, combinations, plan
from bnnbench.sweep.report import SweepReporter


def sweep(
    overrides: Sequence[str],
    launcher: Launcher,
    config_dirs: Sequence[str | Path] = (),
    *,
    common: Sequence[str] = (),
) -> None:
    """Check all runs of a sweep, run those that remain, and report how each ended.

    Args:
        overrides: with several values for some keys, see `bnnbench.sweep.plan.combinations`.
        launcher: where the runs take place.
        config_dirs: see `bnnbench.config.composition.compose`.
        common: see `bnnbench.sweep.plan.plan`.

    Raises:
        ConfigError: at least one run is wrong, or the results cannot be written; nothing was started.
        BnnbenchError: runs failed. InUseError: none failed, but another process is writing some.
        KeyboardInterrupt: the sweep was stopped.
    """
    from bnnbench.experiment.progress import make_console
    from bnnbench.store.folder import check_writable, is_finished

    each = combinations(overrides, config_dirs)
    jobs = list(dict.fromkeys(plan(each, config_dirs, common=common)))
    todo = [job for job in jobs if job.raw["force"] or not is_finished(job.path)]

    check_sizes(todo)
    for results in dict.fromkeys(job.raw["results"] for job in todo):
        check_writable(results)

    outcomes = {job: Outcome(Status.SKIPPED) for job in jobs}
    with SweepReporter(len(todo), make_console(records=True)) as reporter:
        reporter.say(_opening(len(each), len(jobs), len(todo)))
        if todo:
            outcomes |= launcher.run(todo, reporter)
    for job, outcome in outcomes.items():
        if outcome.status == Status.IN_USE and is_finished(job.path):  # the other process finished it meanwhile
            outcomes[job] = Outcome(Status.SKIPPED)
    reporter.close_with(outcomes)
    raise_for(outcomes)


def _opening(combinations: int, jobs: int, todo: int) -> str:
    equal = combinations - jobs
    parts = [f"{jobs} run{'' if jobs == 1 else 's'}"]
    if equal:
        parts.append(f"{equal} of {combinations} combinations are the same as another")
    if todo < jobs:
        parts.append(f"{jobs - todo} finished before")
    return ", ".join(parts)


def raise_for(outcomes: Mapping[Job, Outcome]) -> None:
    """Return if all runs are finished; otherwise raise the error that sets the exit code."""
    found = [outcome.status for outcome in outcomes.values()]
    if Status.INTERRUPTED in found or Status.NOT_STARTED in found:
        raise KeyboardInterrupt
    failed, in_use = found.count(Status.FAILED) + found.count(Status.STOPPED), found.count(Status.IN_USE)
    if failed:
        raise BnnbenchError(f"{failed} of {len(found)} runs failed, see above. Finished ones are not run again.")
    if in_use:
        raise InUseError(f"{in_use} of {len(found)} runs are in use by another process; try again later.")
