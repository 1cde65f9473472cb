"""Runs on the real files, where they are."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from support.records import manifest_of

from bnnbench.data import load_data
from bnnbench.store.folder import COLUMNS
from bnnbench.tasks.regression import Regression

Run = Callable[..., Path]
real = pytest.mark.skipif("BNNBENCH_DATA" not in os.environ, reason="BNNBENCH_DATA does not say where real data lies")


def final(folder: Path) -> dict[str, dict[str, float]]:
    return manifest_of(folder)["final"]


@real
def test_psgld_learns_mnist_in_one_epoch_and_tells_letters_from_digits(run_small: Run) -> None:
    folder = run_small(
        "method=psgld", "dataset=mnist", "model.widths=[100]", "epochs=1", "eval.every=300", "eval.ood=[kmnist]"
    )
    rows = final(folder)
    # A two-layer network reaches 5 to 8 % after one epoch; 12 % is a linear model after as long.
    assert rows["test/current/0"]["error"] < 0.12
    assert rows["test/posterior/0"]["error"] < 0.12
    assert rows["kmnist/posterior/0"]["auroc"] > 0.65  # 0.5 is chance
    table = pd.read_csv(folder / "metrics.csv")
    assert tuple(table.columns) == COLUMNS
    assert table[table.split == "kmnist"].error.isna().all()


@real
@pytest.mark.parametrize("head", ["homoscedastic", pytest.param("heteroscedastic", marks=pytest.mark.slow)])
def test_sgld_regresses_on_a_uci_set_better_than_its_mean(head: str, run_small: Run) -> None:
    folder = run_small(
        "dataset=uci",
        "dataset.name=yacht",
        "dataset.split=3",
        f"task.head={head}",
        "method=sgld",
        "method.optimizer.lr=0.01",
        "model.widths=[50]",
        "epochs=400",
        "members.burn_in=1000",
        "eval.every=200",
    )
    row = final(folder)["test/posterior/0"]
    data = load_data(
        yaml.safe_load((folder / "config.yaml").read_text())["dataset"],
        targets=Regression(),
        root=None,
        seed=0,
        device=torch.device("cpu"),
    )
    spread = data.targets.target_std
    assert row["rmse"] < spread / 2  # the mean alone has the spread itself
    assert row["nll"] < 0.5 * math.log(2 * math.pi * math.e * spread**2)  # the entropy of N(mean, spread²)
    assert "error" not in row


@real
def test_logistic_regression_on_a9a_beats_the_majority(run_small: Run) -> None:
    folder = run_small("dataset=a9a", "model=logistic", "method=sgld", "iterations=1500", "members.burn_in=500")
    majority, test = 3846 / 16281, 16281  # positives among the test rows
    error = final(folder)["test/posterior/0"]["error"]
    assert error < majority - 4.5 * math.sqrt(majority * (1 - majority) / test)
