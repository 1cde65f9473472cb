"""The objective of a search: a measure on validation points that neither the trials nor their warm starts have seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnnbench.analysis.predictions import final_scores
from bnnbench.config.schema import parse
from bnnbench.errors import BnnbenchError, ConfigError, did_you_mean
from bnnbench.experiment.assembly import measures_recorded
from bnnbench.store.frame import load_run
from bnnbench.tasks.measures import Measure, judging

HELD_OUT = ("split", "valid", "valid_seed")  # keys of a dataset that decide which points are held out


def check_objective(raw: Mapping[str, Any], metric: str) -> Measure:
    """Return the measure `metric`, once trials of the configuration `raw` can be judged by it, on the validation split.

    Raises:
        ConfigError: the task has no such measure, or the trials would see other data than they are judged on.
    """
    name, splits = raw["dataset"]["name"], raw["eval"]["splits"]
    measures = {measure.name: measure for measure in judging(measures_recorded(parse(raw)))}
    if metric not in measures:
        raise ConfigError(f"--metric {metric}: no such measure of {name}.{did_you_mean(metric, measures)}")
    if not raw["dataset"].get("valid"):
        raise ConfigError(
            f"dataset.valid=0: {name} has no validation split, which is what trials are judged on. "
            "Hold some training points out: dataset.valid=0.2, say."
        )
    if splits != ["valid"]:
        raise ConfigError(f"eval.splits={splits}: trials see the validation split alone. Leave eval.splits out.")
    if raw["force"] is True:
        raise ConfigError("force=true: a search repeats no trial. Take another name=… to search anew.")
    return measures[metric]


def check_start(raw: Mapping[str, Any]) -> None:
    """Check that the run that `method.init_from` names, if any, has not trained on the points that judge the trials.

    Raises:
        ConfigError: it held out other points of the same dataset, or none.
    """
    folder = raw["method"]["init_from"]
    try:
        there = load_run(Path(folder).expanduser()).config if folder else None
    except BnnbenchError:  # not a run: starting from it reports that
        return
    if there is None or there["dataset"].get("name") != raw["dataset"]["name"]:
        return
    pairs = {f"dataset.{key}": (there["dataset"].get(key), raw["dataset"].get(key)) for key in HELD_OUT}
    if raw["dataset"].get("valid_seed") is None:
        pairs["seed"] = there.get("seed"), raw["seed"]
    for key, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise ConfigError(
                f"method.init_from={folder}: made with {key}={theirs}, here it is {ours}: it has seen points that "
                f"trials are judged on.\nStart from a run with {key}={ours}."
            )


def score(folder: Path, metric: str) -> float | None:
    """Return the last `metric` of the run in `folder` on the validation split, None if it is no finite number.

    Of the posterior mean, pooled over chains where it is, else of the last iterate, as the mean over chains.
    """
    value = final_scores(load_run(folder), "valid").get(metric, math.nan)
    return value if math.isfinite(value) else None
