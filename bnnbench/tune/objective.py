"""How the trials of a search are judged: on the validation split alone, which nothing that they start from has seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnnbench.config import plugins
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.store.frame import last_scores, load_run

HELD_OUT = ("split", "valid", "valid_seed")  # keys of a dataset that decide which points are held out


def check_judge(raw: Mapping[str, Any], metric: str) -> None:
    """Check that trials of the configuration `raw` can be judged by `metric` on the validation split, and only there.

    Raises:
        ConfigError: what is in the way.
    """
    name, splits = raw["dataset"]["name"], raw["eval"]["splits"]
    if not raw["dataset"].get("valid"):
        raise ConfigError(
            f"dataset.valid=0: {name} has no validation split, which is what trials are judged on. "
            "Hold some training points out: dataset.valid=0.2, say."
        )
    if splits != ["valid"]:
        raise ConfigError(f"eval.splits={splits}: trials see the validation split alone. Leave eval.splits out.")
    if raw["force"] is True:
        raise ConfigError("force=true: a search repeats no trial. Take another name=… to search anew.")
    regression = plugins.find("data", name).TASK == "regression"
    if metric != "nll" and regression != (metric == "rmse"):
        allowed = "nll and rmse" if regression else "nll, error and brier"
        raise ConfigError(f"--metric {metric}: for {name} there are {allowed}.")


def check_start(raw: Mapping[str, Any]) -> None:
    """Check that the run that `method.init_from` names, if any, has not trained on the points that judge the trials.

    Raises:
        ConfigError: it held out other points of the same dataset, or none.
    """
    folder = raw["method"]["init_from"]
    try:
        there = load_run(Path(folder).expanduser()).config if folder else None
    except BnnbenchError:  # no run: to start from it says so
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
    """Return the last `metric` on the validation split of the run in `folder`: of the posterior mean, pooled over
    chains where it is, else of the last iterate, as the mean over chains. None if it is no finite number.
    """
    run = load_run(folder)
    scores = last_scores(run, "posterior", "valid") or last_scores(run, "current", "valid")
    value = scores.get(metric, math.nan)
    return value if math.isfinite(value) else None
