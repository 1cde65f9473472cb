"""From the overrides of a sweep to its jobs: all checked before the first one starts, duplicates merged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnnbench.config.composition import Composer, config_loader
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.sweep.jobs import Job
from bnnbench.sweep.jobs import labels as differences
from bnnbench.sweep.sizes import Sizes

SHOWN = 20  # problems
MOST = 100_000  # runs; all are checked before the first one starts


def combinations(overrides: Sequence[str], config_dirs: Sequence[str | Path] = ()) -> list[list[str]]:
    """Return the overrides of each run of a sweep: every combination of the values given, as Hydra combines them.

    Args:
        overrides: in Hydra's grammar: ``method=sgld,psgld``, ``seed=range(0,3)``, ``model=glob(mlp*)``.
        config_dirs: see `bnnbench.config.composition.compose`.

    Raises:
        ConfigError: an override cannot be read, a key is given no value, or there are more than `MOST` combinations.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from bnnbench.config.hydra_errors import translate

    parser = OverridesParser.create(config_loader=config_loader(config_dirs))
    try:
        parsed = parser.parse_overrides(list(overrides))
        if (count := math.prod(map(_values, parsed))) > MOST:
            raise ConfigError(f"A sweep of {count} runs; at most {MOST} are planned at once. Divide it.")
        found = BasicSweeper.split_arguments(parsed, None)[0]
    except Exception as error:
        translated = translate(error)
        if translated is error:
            raise
        raise translated from error
    if not found:
        raise ConfigError("The sweep has no runs: one of the keys was given no value, as by range(0,0) or glob(x*).")
    return [list(combination) for combination in found]


def _values(override: Any) -> int:
    """Return how many values a parsed override gives its key; 1 for a glob, whose names are few."""
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if not isinstance(value, RangeSweep) or value.start is None or value.stop is None or not value.step:
        return 1
    return max(0, math.ceil((value.stop - value.start) / value.step))


def plan(
    combinations: Sequence[Sequence[str]],
    config_dirs: Sequence[str | Path] = (),
    *,
    common: Sequence[str] = (),
    first: int = 0,
) -> list[Job]:
    """Return the job of each of `combinations`, all of them checked; equal runs share one job.

    Args:
        combinations: the overrides of each run.
        config_dirs: see `bnnbench.config.composition.compose`.
        common: overrides that precede those of every run and that no label names, such as Hydra's own.
        first: ``${hydra:job.num}`` of the first job.

    Raises:
        ConfigError: one line for every distinct problem.
    """
    from bnnbench.experiment.finished import finished_before
    from bnnbench.store.folder import run_path

    composer = Composer(config_dirs, common)
    jobs: list[Job] = []
    by_path: dict[Path, Job] = {}
    problems: dict[str, list[Sequence[str]]] = {}
    for number, (overrides, label) in enumerate(zip(combinations, differences(combinations), strict=True), first):
        numbered = (f"hydra.job.num={number}", f"hydra.job.id=bnnbench_{number}")
        try:
            raw = composer.compose([*numbered, *overrides])
            if finished_before(raw) is None:
                from bnnbench.experiment.assembly import check  # loads torch: not where there is nothing to run

                check(raw)
        except BnnbenchError as error:
            for line in str(error).splitlines():
                problems.setdefault(line, []).append(overrides)
            continue
        job = Job(tuple(overrides), raw, label, run_path(raw))
        jobs.append(by_path.setdefault(job.path.absolute(), job))
    if problems:
        raise ConfigError(_refusal(problems, combinations))
    return jobs


def check_sizes(jobs: Sequence[Job]) -> None:
    """Check what depends on the data, reading each dataset once. Data that cannot be read fail their own run.

    Raises:
        ConfigError: one line for every distinct problem.
    """
    if not jobs:
        return
    from bnnbench.experiment.assembly import check, check_size

    problems: dict[str, list[Sequence[str]]] = {}
    sizes = Sizes()
    for job in jobs:
        try:
            size = sizes.of(job.raw)
            if size is not None:
                check_size(check(job.raw), size)
        except ConfigError as error:
            problems.setdefault(" ".join(str(error).split()), []).append(job.overrides)
    if problems:
        raise ConfigError(_refusal(problems, [job.overrides for job in jobs]))


def _refusal(problems: Mapping[str, Sequence[Sequence[str]]], combinations: Sequence[Sequence[str]]) -> str:
    """Return a line for every problem, with the overrides shared by all runs that have it and by no other.

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
