"""The program that measures the defaults, and a sample of what it finds."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bnnbench import defaults
from bnnbench.config.composition import choices

COMMITTED = Path(__file__).parents[1] / "results" / "published" / "defaults.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_dataset_that_ships_is_measured() -> None:
    every = defaults.datasets()
    assert {name for name in choices("dataset") if name != "uci"} | set(defaults.UCI) == set(every)
    assert defaults.datasets(["digits"]) == {"digits": ("dataset=digits",)}


def test_the_baselines_are_those_of_a_linear_model() -> None:
    base = defaults.baseline(["dataset=digits"])
    assert base.constant == pytest.approx(0.9, abs=0.02)
    assert 0.02 < base.linear < 0.06 and 0 < base.linear_nll < 0.3  # logistic regression on 1 438 digits


def test_a_line_for_each_method_and_one_for_a_run_that_failed(here: Path) -> None:
    out = here / "some.csv"
    few = {
        "digits": ("dataset=digits", "iterations=200", "model.widths=[30]", "eval.every=100", "method.optimizer.lr=.1")
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "datasets", lambda names=(): few)
        code = defaults.main(["--methods", "sgld,adam", "--out", str(out)])
    sgld, adam = rows(out)
    assert (sgld["dataset"], sgld["method"], sgld["runs"], sgld["iterations"]) == ("digits", "sgld", "1", "200")
    assert sgld["measure"] == "error" and 0 < float(sgld["score"]) < 1 and sgld["torch"]
    assert sgld["verdict"] == ("worse than linear" if float(sgld["score"]) > float(sgld["linear"]) else "better")
    assert code == 1  # an Adam with steps of 0.1
    assert adam["verdict"] == "worse than linear" or adam["verdict"].startswith("failed: ")


def test_what_is_committed_is_of_these_methods_and_datasets() -> None:
    found = rows(COMMITTED)
    assert {row["method"] for row in found} == set(choices("method"))
    assert {row["dataset"] for row in found} <= set(defaults.datasets())
    assert not [row for row in found if row["verdict"].startswith("failed")]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sgd", "sgld", "psgld", "batchnorm_sgld", "mean_field", "vd"])
@pytest.mark.parametrize("dataset", ["digits", "boston", "yacht"])
def test_the_default_is_better_than_a_linear_model(dataset: str, method: str, here: Path) -> None:
    try:
        defaults.baseline([word for word in defaults.datasets()[dataset] if "," not in word])
    except defaults.DataError as error:
        pytest.skip(str(error).splitlines()[0])
    assert defaults.main([dataset, "--methods", method, "--out", "out.csv"]) == 0
    (row,) = rows(Path("out.csv"))
    assert float(row["score"]) < float(row["linear"])
