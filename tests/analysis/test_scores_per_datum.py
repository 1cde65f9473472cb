"""The scores of each test datum: they add up to the recorded ones, and give intervals over the data."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from support.synthetic_runs import row, write_run

from bnnbench.analysis.compare import Table, compare
from bnnbench.analysis.statistics import interval_over_data
from bnnbench.analysis.tables import OVER_DATA, cells, notes, to_csv
from bnnbench.store import per_datum

LINE = '''
"""A noisy line in units far from 1."""
import numpy as np

TASK, CLASSES = "regression", None


def load(root, part):
    random = np.random.default_rng(0 if part == "train" else 1)
    x = random.normal(size=(60 if part == "train" else 23, 1))
    return x, 50 + 20 * (x[:, 0] + random.normal(size=len(x)))
'''
LENGTH = ("iterations=40", "eval.every=20", "members.burn_in=10", "batch_size=20", "model.widths=[4]")


def last_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if row["iteration"] == rows[-1]["iteration"]]


@pytest.mark.parametrize(
    ("settings", "measures"),
    [
        (("method=psgld", "chains=2", "dataset.valid=100"), ("error", "nll", "brier")),
        (("method=sgld", "members.average=log_probability"), ("error", "nll", "brier")),
        (("method=sgd_ensemble", "chains=2"), ("error", "nll", "brier")),
        (("method=sgld", "dataset.name=tiny.line", "dataset.divide=1", "method.optimizer.lr=0.01"), ("rmse", "nll")),
    ],
)
def test_they_add_up_to_what_metrics_csv_has(
    settings: tuple[str, ...], measures: tuple[str, ...], finished: Callable[..., Path], user_package: Any
) -> None:
    user_package("tiny", line=LINE)
    folder = finished(*LENGTH, *settings)
    rows = last_rows(folder)
    assert rows
    for row_ in rows:
        for measure in measures:
            values = per_datum.read(folder, row_["split"], row_["predictor"], measure)[row_["chain"]]
            score = values.mean() ** (0.5 if measure == "rmse" else 1)
            assert score == pytest.approx(float(row_[measure]), rel=1e-5)


def test_the_interval_is_students_over_the_data() -> None:
    random = np.random.default_rng(0)
    x, y = random.exponential(1.0, 500), random.exponential(0.8, 500)
    test = stats.ttest_rel(x, y)
    assert interval_over_data([(x, y)]) == pytest.approx(tuple(test.confidence_interval(0.95)))
    halves = [(x, y), (x + 0.25, y - 0.25)]  # two pairs: their mean is compared
    assert interval_over_data(halves) == pytest.approx(tuple(v + 0.25 for v in test.confidence_interval(0.95)))
    assert interval_over_data([(x, x + 1)]) is None  # no spread
    assert interval_over_data([(x[:1], y[:1])]) is None


def test_of_a_root_it_is_that_of_resampled_data() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(0, 1.3, 2000) ** 2, random.normal(0, 1.0, 2000) ** 2
    low, high = interval_over_data([(x, y)], root=True) or (np.nan, np.nan)
    draws = random.integers(0, 2000, (4000, 2000))
    differences = np.sqrt(x[draws].mean(1)) - np.sqrt(y[draws].mean(1))
    # A standard deviation over R resamples is known to 1/√(2R): 1.1 %, four of which are allowed.
    assert (high - low) / 2 == pytest.approx(1.96 * differences.std(), rel=4 / np.sqrt(2 * 4000))
    assert (high + low) / 2 == pytest.approx(np.sqrt(x.mean()) - np.sqrt(y.mean()))


def write(folder: Path, method: str, values: np.ndarray, seed: int = 0, **settings: Any) -> None:
    write_run(folder, [row(100, float(values.mean()))], method=method, seed=seed, **settings)
    per_datum.write(folder, {("test", "posterior", "0"): {"error": torch.from_numpy(values)}})


def only(path: Path) -> Table:
    (table,) = compare(path).tables
    return table


def test_one_seed_has_an_interval_over_the_data_at_least(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    x, y = ((random.random(400) < p).astype(float) for p in (0.1, 0.2))
    write(tmp_path / "a", "sgld", x)
    write(tmp_path / "b", "psgld", y)
    table = only(tmp_path)
    d = table.rows[1].difference
    assert d is not None and (d.data, d.low) == (400, None)
    assert (d.data_low, d.data_high) == pytest.approx(tuple(stats.ttest_rel(y, x).confidence_interval(0.95)), rel=1e-6)
    header, lines = cells(table)
    assert header[-1] == OVER_DATA and lines[0][-1] == "" and "…" in lines[1][-1]
    assert any("what 400 other test data would give with these networks" in note for note in notes(table))
    assert "data_low" in to_csv(compare(tmp_path)).splitlines()[0]


@pytest.mark.parametrize("spoil", ["missing", "damaged", "pickled", "other length", "other test set"])
def test_without_comparable_data_there_is_none(spoil: str, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    write(tmp_path / "a", "sgld", random.random(50))
    other = {"options_of_dataset": {"share": 0.3}} if spoil == "other test set" else {}
    write(tmp_path / "b", "psgld", random.random(49 if spoil == "other length" else 50), **other)
    file = tmp_path / "b" / per_datum.NAME
    if spoil == "missing":
        file.unlink()
    elif spoil == "damaged":
        file.write_bytes(file.read_bytes()[:-40])
    elif spoil == "pickled":
        np.savez(file, **{"test/posterior/0/error": np.array([{}], dtype=object)})
    table = only(tmp_path)
    assert all(row_.difference is None or row_.difference.data is None for row_ in table.rows)
    assert OVER_DATA not in cells(table)[0]
    assert "data_low" not in to_csv(compare(tmp_path)).splitlines()[0]
