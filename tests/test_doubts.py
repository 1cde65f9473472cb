"""Finished runs whose numbers deserve a doubt say so, with the numbers; sound ones say nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.cli import invoke
from support.records import manifest_of

from bnnbench.store.frame import load_run
from bnnbench.tasks.classification import Classification
from bnnbench.tasks.regression import Regression

Run = Callable[..., Path]
LINE = '''
"""Ten times the same line."""
import numpy as np

TASK, CLASSES = "regression", None


def load(root, part):
    random = np.random.default_rng(0 if part == "train" else 1)
    x = random.normal(size=(100, 1))
    return x, 3 * x[:, 0] + random.normal(size=100)
'''
BLOBS = '''
"""Two classes far apart, in features of size one."""
import numpy as np

TASK, CLASSES = "classification", 2


def load(root, part):
    y = np.arange(60) % 2
    return (y - 0.5)[:, None] + 0.1 * np.random.default_rng(len(part)).normal(size=(60, 2)), y
'''


@pytest.fixture
def sets(user_package: Callable[..., None]) -> None:
    user_package("tiny", line=LINE, blobs=BLOBS)


def doubts(folder: Path) -> list[str]:
    found = manifest_of(folder)["doubts"]
    assert isinstance(found, list)
    return found


def test_a_sound_run_has_none(run_small: Run) -> None:
    assert doubts(run_small("method=sgld", "members.thin=5")) == []
    assert doubts(run_small("method=adam")) == []


def test_few_members(run_small: Run) -> None:
    (line,) = doubts(run_small("method=sgld", "members.thin=45"))
    assert line.startswith("the posterior mean is over 2 members, too few")
    assert doubts(run_small("method=sgld", "members.thin=5", "members.burn_in=90")) == []  # ten


def test_members_that_hardly_differ(run_small: Run) -> None:
    (line,) = doubts(run_small("method=sgld", "members.thin=5", "method.optimizer.lr=1e-7", "temperature=0"))
    assert "hardly differ: the NLL of the last one and of their mean differ by" in line
    assert float(line.split(" by ")[1].split()[0]) < 1e-3


def test_worse_than_a_constant(run_small: Run, sets: None) -> None:
    line_ = ("dataset.name=tiny.line", "dataset.divide=1", "batch_size=50", "iterations=1", "prior.variance=1e-5")
    (line,) = doubts(run_small("method=sgd", *line_, "method.optimizer.lr=0.02"))
    assert line.startswith("test RMSE ") and "the best constant prediction has" in line and "dataset.divide" in line


def test_constants_by_hand() -> None:
    train, y = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1])
    assert Classification(3).constant_score(train, y) == 0.5
    task = Regression().fitted(torch.tensor([10.0, 30.0]), None)  # mean 20, std 10
    assert task.constant_score(torch.tensor([-1.0, 1.0]), torch.tensor([3.0, -4.0])) == pytest.approx(10 * 12.5**0.5)


def test_the_doubt_is_printed(here: Path) -> None:
    done = invoke("run", "method=sgld", "model.widths=[8]", "epochs=3", "members.thin=30", "threads=1")
    assert done.exit_code == 0, done.stderr
    assert "note: the posterior mean is over 1 member, too few" in done.stdout


def test_a_set_of_ones_own_is_told_of_the_division_and_keeps_its_name(run_small: Run, sets: None) -> None:
    few: tuple[Any, ...] = ("method=sgd", "iterations=2", "batch_size=20", "dataset.name=tiny.blobs")
    folder = run_small(*few)  # with the settings of dataset=digits
    (warning,) = manifest_of(folder)["warnings"]
    assert warning.startswith("dataset.divide=16: inputs of tiny.blobs are at most 0.0")
    assert load_run(folder).label("dataset") == "tiny.blobs"  # not Digits
    assert manifest_of(run_small(*few, "dataset.divide=1"))["warnings"] == []
    assert load_run(run_small(*few, "dataset.label=Blobs", "seed=1")).label("dataset") == "Blobs"
