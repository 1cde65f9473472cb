"""A run's record: complete, continued after a crash with the same numbers, left alone when finished or in use."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pytest
import torch
import yaml
from rich.console import Console

from bnnbench import records
from bnnbench.errors import BnnbenchError, ConfigError, DataError
from bnnbench.evaluation import Evaluator
from bnnbench.run import run

Run = Callable[..., Path]
Compose = Callable[..., dict[str, Any]]


def without_times(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open() as stream:
        rows = list(csv.reader(stream))
    keep = [i for i, name in enumerate(rows[0]) if not name.endswith("_seconds")]
    return [[row[i] for i in keep] for row in rows]


class Crash(Exception):
    """Stands for the machine going down."""


@pytest.mark.parametrize(
    "method",
    [
        ["method=psgld"],
        ["method=psgld", "method.update.gamma=hutchinson", "model.widths=[4]"],
        ["method=sgd", "method.update.momentum=0.9", "chains=2"],
        ["method=adam"],
        ["method=batchnorm_sgld", "method.bn_stats=frozen"],
        ["method=batchnorm_sgld", "method.bn_stats=running", "chains=2"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("crash_at", ["evaluation", "checkpoint"])
def test_a_run_that_crashed_continues_with_the_same_numbers(
    method: list[str], crash_at: str, run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overrides = [*method, "members.burn_in=20", "members.thin=15", "eval.every=30", "checkpoint_every=0"]
    whole = run_small(*overrides, f"results={tmp_path / 'whole'}")
    calls = {"count": 0}

    def crashing(original: Callable[..., Any], at: int) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls["count"] += 1
            if calls["count"] == at:
                raise Crash
            return original(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        if crash_at == "evaluation":
            patch.setattr(Evaluator, "__call__", crashing(Evaluator.__call__, 4))
        else:  # after the rows of iteration 90 were written and before their checkpoint was
            patch.setattr(records.RunFolder, "checkpoint", crashing(records.RunFolder.checkpoint, 3))
        with pytest.raises(Crash):
            run_small(*overrides)
    (crashed,) = (tmp_path / "results" / "adhoc").iterdir()
    assert "Crash" in (crashed / "error.txt").read_text()
    assert 1 < len(without_times(crashed)) < len(without_times(whole))
    # A crash can also leave half a row behind.
    with (crashed / "metrics.csv").open("a") as stream:
        stream.write("120,8.57,12")
    continued = run_small(*overrides)
    assert continued == crashed
    assert without_times(continued) == without_times(whole)
    assert json.loads((continued / "manifest.json").read_text())["status"] == "finished"
    assert not (continued / "error.txt").exists()


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_means_starting_anew(damage: bytes | None, run_small: Run) -> None:
    folder = run_small()
    before = without_times(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    if damage is None:  # a checkpoint of more rows than there are
        (folder / "metrics.csv").write_text("")
    else:
        (folder / "checkpoint.pt").write_bytes(damage)
    assert without_times(run_small()) == before


def test_a_finished_run_is_left_alone_unless_forced(run_small: Run) -> None:
    folder = run_small()
    stamp = os.stat(folder / "metrics.csv").st_mtime_ns
    assert run_small() == folder
    assert os.stat(folder / "metrics.csv").st_mtime_ns == stamp
    assert run_small("force=true") == folder
    assert os.stat(folder / "metrics.csv").st_mtime_ns > stamp


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
    assert config["method"]["update"]["temperature"] == 1.0  # resolved: no interpolation is left
    assert "${" not in (folder / "config.yaml").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("versions", "device", "threads", "git_commit", "num_data", "parameters", "temperature", "start", "end"):
        assert key in manifest
    assert manifest["num_data"] == 1438
    assert manifest["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert manifest["warnings"] == ["schedule=constant: " + manifest["warnings"][0].partition(": ")[2]]
    assert "Σε²" in manifest["warnings"][0]
    table = pd.read_csv(folder / "metrics.csv", dtype={"chain": str})
    assert tuple(table.columns) == records.COLUMNS
    last = table[table.iteration == 140]
    assert sorted(last.chain[last.predictor == "posterior"]) == ["0", "1", "all"]
    assert set(last[last.chain == "all"].members) == {2}
    assert set(last[last.chain == "all"].grad_evals) == {280}
    assert set(last[last.chain == "0"].grad_evals) == {140}
    assert (table.epoch == table.iteration / 14).all()
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert checkpoint["iteration"] == 140
    seconds = table.train_seconds.max() + table.eval_seconds.max()
    whole = pd.Timestamp(manifest["end"]) - pd.Timestamp(manifest["start"])
    assert 0 < seconds <= whole.total_seconds() + 1  # the times are to the second


def test_numbers_are_written_in_full_precision(run_small: Run) -> None:
    folder = run_small()
    final = json.loads((folder / "manifest.json").read_text())["final"]["test/posterior/0"]
    with (folder / "metrics.csv").open() as stream:
        last = list(csv.DictReader(stream))[-1]
    assert float(last["nll"]) == final["nll"]  # to the last bit


def test_settings_that_do_not_fit_the_data_leave_no_folder(compose: Compose, tmp_path: Path) -> None:
    for overrides, error, words in (
        (["batch_size=5000"], ConfigError, "Take at most 1438"),
        (["epochs=1"], ConfigError, "members.burn_in"),
        (["model=logistic", "method=batchnorm_sgld"], ConfigError, "no hidden"),
        (["dataset=mnist", f"data.root={tmp_path}"], DataError, "bnnbench data fetch mnist"),
        (["device=cuda:99"], ConfigError, "device=auto"),
        (["head=homoscedastic"], ConfigError, "head=softmax"),
        (["method=batchnorm_sgld", "batch_size=1"], ConfigError, "variance over the batch"),
        (["method.update.gamma=exact"], ConfigError, "gamma=hutchinson"),
        (["method=sgd", "method.update.name=adamw"], ConfigError, "no such update rule"),
        (["method=sgd", "+method.update.maximize=true"], ConfigError, "no such option"),
        (["device=meta"], ConfigError, "not available here"),
    ):
        with pytest.raises(error, match=words):
            run(compose(*overrides), Console(file=io.StringIO()))
        assert not (tmp_path / "results").exists()


def test_paths_and_labels_are_no_part_of_a_runs_identity(compose: Compose) -> None:
    base = records.run_path(compose()).name
    for same in (
        "results=elsewhere",
        "name=other",
        "data.root=/data",
        "device=cpu",
        "threads=1",
        "force=true",
        "checkpoint_every=1",
        "method.label=X",
        "eval.batch_size=7",
        "prior.variance=1",  # the default is 1.0
        "method.update.temperature=1",
    ):
        assert records.run_path(compose(same)).name == base
    others = ["seed=1", "epochs=7", "method.update.lr=1e-3", "chains=2", "prior.variance=2", "members.thin=7"]
    sgd = records.run_path(compose("method=sgd")).name
    for idle in ("temperature=1/N", "members.burn_in=5"):  # an optimiser has neither
        assert records.run_path(compose("method=sgd", idle)).name == sgd
    names = {records.run_path(compose(o)).name for o in others}
    assert len(names) == len(others)
    assert base not in names
    assert base.startswith("digits-mlp-psgld-")


@pytest.mark.parametrize("average", ["probability", "log_probability"])
@pytest.mark.parametrize("weight", ["equal", "lr"])
def test_every_way_of_averaging_runs(average: str, weight: str, run_small: Run) -> None:
    folder = run_small(
        f"members.average={average}", f"members.weight={weight}", "schedule=polynomial", "members.thin=10"
    )
    final = json.loads((folder / "manifest.json").read_text())["final"]["test/posterior/0"]
    assert final["members"] == 9
    assert ("mutual_information" in final) == (average == "probability")


def test_a_validation_split_is_evaluated_beside_the_test_split(run_small: Run) -> None:
    table = pd.read_csv(run_small("dataset.valid=0.2") / "metrics.csv")
    assert set(table.split) == {"valid", "test"}


def test_a_run_killed_at_once_during_force_is_not_taken_for_finished(
    run_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_small()
    before = without_times(folder)

    def die(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("bnnbench.run._announce", die)
        patch.setattr(records.RunFolder, "fail", lambda *_: None)  # a killed process says nothing
        with pytest.raises(Crash):
            run_small("force=true")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == {"status": "running"}  # nothing of the old run is left standing
    assert without_times(run_small()) == before


def test_a_process_that_is_killed_leaves_a_run_that_continues(compose: Compose, run_small: Run, tmp_path: Path) -> None:
    """kill -9, at an instant of the system's choosing after the first checkpoint."""
    words = [
        "epochs=400",
        "model.widths=[16]",
        "members.burn_in=50",
        "eval.every=50",
        "threads=1",
        "checkpoint_every=0",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "bnnbench.cli", "run", *words, f"results={tmp_path / 'results'}"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    folder = records.run_path(compose(*words))
    deadline = time.monotonic() + 60
    while not (folder / "checkpoint.pt").is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    killed = without_times(folder)
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"
    assert run_small(*words) == folder
    whole = run_small(*words, f"results={tmp_path / 'whole'}")
    assert 1 < len(killed) < len(without_times(whole))
    assert without_times(folder) == without_times(whole)


def test_a_checkpoint_of_another_kind_of_device_is_not_continued(run_small: Run) -> None:
    folder = run_small()
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save({**checkpoint, "device": "cuda"}, folder / "checkpoint.pt")
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"device=cuda.*--force"):
        run_small()


def test_the_cost_of_second_derivatives_is_counted(run_small: Run) -> None:
    folder = run_small("method.update.gamma=hutchinson", "model.widths=[4]", "chains=2")
    table = pd.read_csv(folder / "metrics.csv", dtype={"chain": str})
    assert set((table.grad_evals / table.iteration)[table.chain == "0"]) == {2}
    assert set((table.grad_evals / table.iteration)[table.chain == "all"]) == {4}


def test_the_advice_for_a_run_that_is_too_short_is_followed_as_it_stands(run_small: Run, compose: Compose) -> None:
    with pytest.raises(ConfigError) as refused:
        run_small("epochs=1")
    advice = str(refused.value).partition("say, or ")[2].rstrip(".").split()
    assert run_small("epochs=1", *advice).is_dir()


def test_a_full_disk_is_said_with_the_folder_and_leaves_nothing_half_written(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(state: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(BnnbenchError, match=r"digits-mlp-psgld-.*checkpoint\.pt could not be written"):
            run_small("checkpoint_every=0")
    (folder,) = (tmp_path / "results" / "adhoc").iterdir()
    assert not list(folder.glob("*.partial"))
    assert run_small("checkpoint_every=0") == folder
