"""Metrics beside those that a task records by itself."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.cli import invoke
from support.records import manifest_of, table

from bnnbench.config.identity import identity
from bnnbench.config.plugins import class_names, find_class
from bnnbench.config.renamed import current_config
from bnnbench.tasks.classification import Classification
from bnnbench.tasks.measures import MEASURES
from bnnbench.tasks.metrics.ace import AdaptiveCalibrationError
from bnnbench.tasks.metrics.base import Metric
from bnnbench.tasks.regression import Regression

TASKS = (Classification(classes=3), Regression())
NAMES = class_names("tasks/metrics", Metric)
QUICK = ("method=sgld", "model.widths=[8]", "epochs=2", "members.burn_in=5", "eval.every=10", "threads=1")


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_the_package_keeps_the_protocol(name: str) -> None:
    metric = find_class("tasks/metrics", name, Metric, where="test")()
    assert metric.measure.name == name and name not in MEASURES
    assert metric.measure.of == "prediction"
    fitting = [task for task in TASKS if set(metric.needs) <= set(task.provides)]
    assert fitting, "no task of the package provides what it needs"
    generator = torch.Generator().manual_seed(0)
    for task in fitting:
        y = torch.randint(3, (40,), generator=generator).to(torch.int64 if task.outputs == 3 else torch.float64)
        predictive = task.predictive(y)
        for _ in range(2):
            predictive.add(task.predict(torch.randn(5, 40, task.outputs, generator=generator).double()))
        assert set(predictive.result()) == set(task.provides)
        of_chains, pooled = (metric(predictive.result(together), y, task) for together in (False, True))
        assert of_chains.shape == (5,) and pooled.shape == (1,)
        assert of_chains.dtype == pooled.dtype == torch.float64
        assert of_chains.isfinite().all() and of_chains.unique().numel() == 5


def ace(p: list[list[float]], y: list[int], ranges: int) -> float:
    prediction = {"probabilities": torch.tensor([p], dtype=torch.float64)}
    return AdaptiveCalibrationError(ranges)(prediction, torch.tensor(y), TASKS[0]).item()


def test_ace_by_hand() -> None:
    p, y = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]], [0, 1, 0, 1]
    # class 0 sorted: .2 (0) .6 (0) | .7 (1) .9 (1): gaps -.4, +.2; class 1: .1 (0) .3 (0) | .4 (1) .8 (1): -.2, +.4
    assert ace(p, y, 2) == pytest.approx((0.4 + 0.2 + 0.2 + 0.4) / 4, abs=1e-15)
    assert ace(p, y, 1) == pytest.approx((abs(0.5 - 0.6) + abs(0.5 - 0.4)) / 2, abs=1e-15)
    # three ranges of four data hold 2, 1, 1
    assert ace(p, y, 3) == pytest.approx((0.4 + 0.3 + 0.1 + 0.2 + 0.6 + 0.2) / 6, abs=1e-15)
    assert ace(p, y, 99) == ace(p, y, 4)  # a range for each datum


def test_ace_of_calibrated_predictions_is_that_of_chance() -> None:
    generator = torch.Generator().manual_seed(1)
    ranges, size = 20, 500
    p = torch.rand(ranges * size, generator=generator, dtype=torch.float64)
    y = (torch.rand(len(p), generator=generator, dtype=torch.float64) < p).long()
    value = AdaptiveCalibrationError(ranges)({"probabilities": torch.stack([1 - p, p], -1)[None]}, y, TASKS[0]).item()
    # A range's gap is a mean of `size` independent errors of variance p(1 - p): |gap| has mean √(2/π) σ and variance
    # (1 - 2/π) σ². The ranges are independent, the two classes mirror each other.
    variances = torch.stack([(q * (1 - q)).mean() / size for q in p.sort().values.chunk(ranges)])
    expected = math.sqrt(2 / math.pi) * variances.sqrt().mean().item()
    error = math.sqrt((1 - 2 / math.pi) * variances.sum().item()) / ranges
    assert abs(value - expected) < 4.5 * error


def test_it_has_a_column_and_a_description(run_small: Callable[..., Path]) -> None:
    folder = run_small("method=sgld", "chains=2", "eval.metrics=[ace]", "members.burn_in=5", "members.thin=20")
    assert [measure["name"] for measure in manifest_of(folder)["measures"]] == ["ace"]
    rows = table(folder)
    assert list(rows[0])[-1] == "ace" and all(0 < float(row["ace"]) < 0.5 for row in rows)
    assert {row["chain"] for row in rows} == {"0", "1", "all"}


def test_options_stand_beside_the_name(run_small: Callable[..., Path]) -> None:
    quick = ("method=sgd", "epochs=2")
    fine, coarse = (run_small(*quick, f"eval.metrics=[{{name: ace, ranges: {ranges}}}]") for ranges in (50, 1))
    assert float(table(fine)[-1]["ace"]) > float(table(coarse)[-1]["ace"])


def test_it_is_searched_for(here: Path, forked_workers: None) -> None:
    done = invoke("tune", *QUICK, "dataset.valid=0.3", "eval.metrics=[ace]", "--metric", "ace", "--trials", "2")
    assert done.exit_code == 0, done.stderr
    assert "ACE" in done.stdout


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("eval.metrics=[acr]",), "eval.metrics=acr: no such choice. Did you mean 'ace'?"),
        (("eval.metrics=ace",), "eval.metrics=ace: input should be a valid list."),
        (("eval.metrics=[{ranges: 3}]",), "give a name, such as ace, or {name: …} with options."),
        (("eval.metrics=[{name: ace, ranges: 0}]",), "eval.metrics: ranges of ace must be at least 1, got 0"),
        (("eval.metrics=[{name: ace, bins: 3}]",), "eval.metrics.bins: no such option"),
        (("eval.metrics=[ace,ace]",), "eval.metrics: there is a column ace already."),
        (("eval.metrics=[theirs.Nll]",), "eval.metrics: there is a column nll already."),
        (
            ("eval.metrics=[theirs.Odd]",),
            "eval.metrics: odd is declared as one of weights; a metric rates predictions.",
        ),
        (("eval.metrics=[theirs.Plain]",), "it is no subclass of bnnbench.tasks.metrics.base.Metric."),
        (
            ("dataset=uci", "eval.metrics=[ace]"),
            "eval.metrics: ace needs probabilities; the task regression provides mean, log_density. Leave it out.",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    words: tuple[str, ...], answer: str, here: Path, user_package: Callable[..., None]
) -> None:
    user_package(
        "theirs",
        __init__="""
from bnnbench.tasks.measures import Measure
from bnnbench.tasks.metrics.base import Metric


class Nll(Metric):
    measure, needs = Measure("nll", "NLL"), ()

    def __call__(self, prediction, y, task):
        return prediction


class Odd(Nll):
    measure = Measure("odd", "odd", of="weights")


class Plain:
    pass
""",
    )
    refused = invoke("run", *QUICK, *words)
    assert refused.exit_code == 1
    assert answer in refused.stderr and len(refused.stderr.splitlines()) <= 2
    assert not (here / "results").exists()


def test_a_run_recorded_before_there_were_any_is_one_without(compose: Callable[..., dict[str, Any]]) -> None:
    raw = compose(*QUICK)
    before = copy.deepcopy(raw)
    assert before["eval"].pop("metrics") == []
    assert identity(current_config(before)) == identity(raw)
    assert identity(compose(*QUICK, "eval.metrics=[ace]")) != identity(raw)
