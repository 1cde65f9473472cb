"""A run's record: complete, left alone when finished or in use, named by what can change its numbers."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pytest
import torch
import yaml
from rich.console import Console
from support.records import manifest_of

from bnnbench.errors import BnnbenchError, ConfigError, DataError
from bnnbench.experiment.run import run
from bnnbench.store import folder as records

Run = Callable[..., Path]
Compose = Callable[..., dict[str, Any]]


def test_a_finished_run_is_left_alone_unless_forced(run_small: Run) -> None:
    folder = run_small()
    stamp = os.stat(folder / "metrics.csv").st_mtime_ns
    assert run_small() == folder
    assert os.stat(folder / "metrics.csv").st_mtime_ns == stamp
    assert run_small("force=true") == folder
    assert os.stat(folder / "metrics.csv").st_mtime_ns > stamp


def test_more_threads_than_cores_are_said(run_small: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnnbench.experiment.run.usable_cores", lambda: 1)
    warnings = manifest_of(run_small("threads=2"))["warnings"]
    assert "threads=2: this process may use 1 core; more threads wait for one another" in warnings
    assert not any("threads" in each for each in manifest_of(run_small("threads=1", "seed=1"))["warnings"])


def test_two_processes_do_not_write_one_folder(compose: Compose, run_small: Run) -> None:
    folder = run_small()
    before = (folder / "metrics.csv").read_bytes()
    with filelock.FileLock(folder / ".lock"), pytest.raises(BnnbenchError, match="another process"):
        run_small("force=true")
    assert (folder / "metrics.csv").read_bytes() == before
    run_small("force=true")  # a lock file that nobody holds does not block


def test_the_folder_holds_all_that_a_reader_needs(run_small: Run) -> None:
    folder = run_small("chains=2")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["method"]["optimizer"]["temperature"] == 1.0  # resolved: no interpolation is left
    assert "${" not in (folder / "config.yaml").read_text()
    manifest = manifest_of(folder)
    for key in ("versions", "device", "threads", "git_commit", "num_data", "parameters", "temperature", "start", "end"):
        assert key in manifest
    assert manifest["num_data"] == 1438
    assert manifest["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    (warning,) = manifest["warnings"]
    assert warning.startswith("schedule=constant: ") and "Σε²" in warning
    table = pd.read_csv(folder / "metrics.csv", dtype={"chain": str})
    assert tuple(table.columns) == records.COLUMNS
    last = table[table.iteration == 140]
    assert sorted(last.chain[last.predictor == "posterior"]) == ["0", "1", "all"]
    assert set(last[last.chain == "all"].members) == {2}
    assert set(last[last.chain == "all"].grad_evals) == {280}
    assert set(last[last.chain == "0"].grad_evals) == {140}
    assert table.epoch.to_numpy() == pytest.approx(table.iteration * 100 / 1438)  # data seen / N
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert checkpoint["iteration"] == 140
    seconds = table.train_seconds.max() + table.eval_seconds.max()
    whole = pd.Timestamp(manifest["end"]) - pd.Timestamp(manifest["start"])
    assert 0 < seconds <= whole.total_seconds() + 1  # the times are to the second


def test_a_temperature_that_no_sampler_uses_is_said(run_small: Run) -> None:
    warnings = manifest_of(run_small("method=sgd", "temperature=2"))["warnings"]
    assert warnings == ["temperature=2 is not used: SGD injects no noise"]
    assert manifest_of(run_small("method=sgd", "seed=1"))["warnings"] == []


def test_numbers_are_written_in_full_precision(run_small: Run) -> None:
    folder = run_small()
    final = manifest_of(folder)["final"]["test/posterior/0"]
    with (folder / "metrics.csv").open() as stream:
        last = list(csv.DictReader(stream))[-1]
    assert float(last["nll"]) == final["nll"]  # to the last bit


def test_settings_that_do_not_fit_the_data_leave_no_folder(compose: Compose, tmp_path: Path) -> None:
    for overrides, error, words in (
        (["batch_size=5000"], ConfigError, "Take at most 1438"),
        (["epochs=1", "members.burn_in=300"], ConfigError, "members.burn_in"),
        (["model=logistic", "method=batchnorm_sgld"], ConfigError, "no hidden"),
        (["dataset=mnist", f"data.root={tmp_path}"], DataError, "bnnbench data fetch mnist"),
        (["device=cuda:99"], ConfigError, "device=auto"),
        (["task.head=homoscedastic"], ConfigError, "input should be 'softmax'"),
        (["method=batchnorm_sgld", "batch_size=1"], ConfigError, "variance over the batch"),
        (["method.optimizer.gamma=exact", "method.optimizer.v_adapt=always"], ConfigError, "gamma=hutchinson"),
        (["method=sgd", "method.optimizer.name=adamw"], ConfigError, "no such update rule"),
        (["method=sgd", "+method.optimizer.maximize=true"], ConfigError, "no such option"),
        (["device=meta"], ConfigError, "not available here"),
    ):
        with pytest.raises(error, match=words):
            run(compose(*overrides), Console(file=io.StringIO()))
        assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("average", ["probability", "log_probability"])
@pytest.mark.parametrize("weight", ["equal", "lr"])
def test_every_way_of_averaging_runs(average: str, weight: str, run_small: Run) -> None:
    folder = run_small(
        f"members.average={average}", f"members.weight={weight}", "schedule=polynomial", "members.thin=10"
    )
    final = manifest_of(folder)["final"]["test/posterior/0"]
    assert final["members"] == 9
    assert ("mutual_information" in final) == (average == "probability")


def test_a_validation_split_is_evaluated_beside_the_test_split(run_small: Run) -> None:
    table = pd.read_csv(run_small("dataset.valid=0.2") / "metrics.csv")
    assert set(table.split) == {"valid", "test"}


def test_the_cost_of_second_derivatives_is_counted(run_small: Run) -> None:
    folder = run_small(
        "method.optimizer.gamma=hutchinson", "method.optimizer.v_adapt=always", "model.widths=[4]", "chains=2"
    )
    table = pd.read_csv(folder / "metrics.csv", dtype={"chain": str})
    assert set((table.grad_evals / table.iteration)[table.chain == "0"]) == {2}
    assert set((table.grad_evals / table.iteration)[table.chain == "all"]) == {4}


def test_exact_curvature_costs_each_chain_its_own_passes(run_small):
    exact = ("method=psgld", "method.optimizer.gamma=exact", "method.optimizer.v_adapt=always")
    small = ("method.optimizer.lambda_=1", "model=logistic", "iterations=2", "members.burn_in=0", "eval.every=1")
    for chains in (1, 3):
        folder = run_small(*exact, *small, f"chains={chains}")
        table, parameters = pd.read_csv(folder / "metrics.csv", dtype={"chain": str}), 650
        assert set((table.grad_evals / table.iteration)[table.chain == "0"]) == {1 + parameters}


def test_the_advice_for_a_run_that_is_too_short_is_followed_as_it_stands(run_small: Run, compose: Compose) -> None:
    with pytest.raises(ConfigError) as refused:
        run_small("epochs=1")
    advice = str(refused.value).partition("say, or ")[2].rstrip(".").split()
    assert run_small("epochs=1", *advice).is_dir()
