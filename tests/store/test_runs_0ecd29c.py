"""Runs that were written before files had a schema number are read, used and continued with the same numbers."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from bnnbench.analysis.compare import compare
from bnnbench.analysis.plots.curves import draw
from bnnbench.cli.app import app
from bnnbench.deploy.export import export
from bnnbench.deploy.sparsity_curve import measure
from bnnbench.deploy.trained import load_trained
from bnnbench.experiment.run import run
from bnnbench.experiment.warm_start import load_pretrained
from bnnbench.store import checkpoint
from bnnbench.store.folder import run_path
from bnnbench.store.frame import load_run

TRUSTED = ["tiny_sets"]  # the runs name a dataset of their own
Old = dict[str, Path]
CLOSE = {"rel": 1e-4, "abs": 1e-6}  # of what is computed again, maybe on another machine


def command(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8") as stream:
        return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in csv.DictReader(stream)]


def test_they_are_listed(old: Old, expected: dict[str, Any]) -> None:
    listed, wanted = (
        [line.split() for line in lines] for lines in (command("ls", "runs").splitlines(), expected["ls"])
    )
    assert [line[:7] for line in listed] == [line[:7] for line in wanted]
    for line, old_line in zip(listed[1:], wanted[1:], strict=True):  # decimals are those of the table of measures now
        scores, old_scores = ([float(word) for word in each[7:] if word != "%"] for each in (line, old_line))
        assert scores == pytest.approx(old_scores, rel=5e-4)


def test_they_are_compared(old: Old, expected: dict[str, Any]) -> None:
    comparison = compare("results")
    means = {table.dataset: {row.key[0]: row.means for row in table.rows} for table in comparison.tables}
    found = {
        dataset: {method: {name: mean.value for name, mean in means.items()} for method, means in groups.items()}
        for dataset, groups in means.items()
    }
    for dataset, groups in expected["compare"].items():
        for method, scores in groups.items():
            assert {name: found[dataset][method][name] for name in scores} == scores
    assert comparison.left_out == expected["left_out"]


def test_they_are_collected_to_the_digit_and_under_the_present_words(old: Old) -> None:
    command("collect", "results", "--out", "all.csv")
    with Path("all.csv").open(encoding="utf-8") as stream:
        collected = list(csv.DictReader(stream))
    for folder in old.values():
        mine = [row for row in collected if row["run"] == folder.name]
        with (folder / "metrics.csv").open(encoding="utf-8") as stream:
            for row, written in zip(mine, csv.DictReader(stream), strict=True):
                for name, cell in written.items():
                    assert row[name] == cell or float(row[name]) == float(cell)
    assert {row["method.layers.keep"] for row in collected} == {"0.5", ""}
    assert "method.optimizer.lr" in collected[0] and not any("update" in name for name in collected[0])


def test_they_are_drawn(old: Old, expected: dict[str, Any]) -> None:
    command("plot", "results", "--metric", "nll", "--out", "figure", "--formats", "svg")
    assert Path("figure.svg").stat().st_size > 0
    axes = draw("results", metric="nll").axes
    ends = sorted(line.get_ydata()[-1] for panel in axes for line in panel.lines if len(line.get_ydata()) > 1)
    compared = expected["compare"]
    per_chain = [float(row["nll"]) for row in rows(old["psgld"] / "metrics.csv")[-3:-1]]  # pooled they are compared
    stopped = float(rows(old["mc_dropout"] / "metrics.csv")[-1]["nll"])
    means = [compared["Blobs"]["sparse_vd"]["nll"], sum(per_chain) / 2, stopped, compared["Plane"]["sgld"]["nll"]]
    assert ends == pytest.approx(means, rel=1e-12)


def test_they_are_exported(old: Old, expected: dict[str, Any]) -> None:
    done = export(
        old["sparse_vd"], sparse=True, console=Console(file=io.StringIO()), out="exported", allow_code=TRUSTED
    )
    wanted = expected["export"]
    assert (done.weights, done.kept, done.score) == (wanted["weights"], wanted["kept"], wanted["score"])
    assert {path.name: gap for path, gap in done.differences.items()} == wanted["differences"]
    about = json.loads(Path("exported/network.json").read_text("utf-8"))
    assert {key: about[key] for key in wanted["about"]} == wanted["about"]
    assert about["task"] == {"name": "classification", "classes": about["outputs"], "head": "softmax"}


def test_their_curve_of_sparsity_is_measured(old: Old, expected: dict[str, Any]) -> None:
    measured = measure(load_trained(old["sparse_vd"], allow_code=TRUSTED), thresholds=[-8, -6, 0, 3, 8])
    for row, wanted in zip(measured, expected["sparsity"], strict=True):
        assert {key: row[key] for key in ("threshold", "own", "kept", "error")} == {
            k: v for k, v in wanted.items() if k != "nll"
        }
        assert row["nll"] == pytest.approx(wanted["nll"], **CLOSE)


def test_their_networks_predict(old: Old, expected: dict[str, Any]) -> None:
    trained = load_trained(old["psgld"], allow_code=TRUSTED)
    assert trained.iteration == expected["iteration"]
    x = trained.parts.data.evaluation["test"].x[:3]
    for chain, wanted in enumerate(expected["logits"]):
        torch.testing.assert_close(trained.network(chain)(x), torch.tensor(wanted), rtol=1e-4, atol=1e-6)


def test_a_run_starts_from_their_parameters(old: Old) -> None:
    saved = torch.load(old["psgld"] / "checkpoint.pt", weights_only=True)["chains"]["parameters"]
    for chain, state in enumerate(load_pretrained(str(old["psgld"]), 2)):
        assert all(torch.equal(state[name], value[chain]) for name, value in saved.items())
    raw = load_run(old["psgld"]).config
    raw |= {"results": "from", "method": raw["method"] | {"init_from": str(old["psgld"])}}
    folder = run(raw, Console(file=io.StringIO()))
    assert rows(folder / "metrics.csv")[0]["nll"] != rows(old["psgld"] / "metrics.csv")[0]["nll"]


def test_the_killed_one_is_continued_with_the_numbers_of_one_left_alone(old: Old) -> None:
    raw = load_run(old["mc_dropout"]).config | {"results": "again"}
    shutil.copytree(old["mc_dropout"], run_path(raw))  # its settings have other names now, and so another hash
    said = io.StringIO()
    folder = run(raw, Console(file=said))
    assert "resumed at iteration 20 of 60" in said.getvalue()
    done, wanted = rows(folder / "metrics.csv"), rows(Path("uninterrupted.csv"))
    assert len(done) == len(wanted)
    for row, alone in zip(done, wanted, strict=True):
        assert list(row) == list(alone)
        for name, cell in alone.items():
            assert row[name] == cell or float(row[name]) == pytest.approx(float(cell), **CLOSE)
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["schema"] == 2
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["schema"] == 2


def test_a_checkpoint_without_a_number_is_brought_into_the_present_format(old: Old) -> None:
    stored = torch.load(old["psgld"] / "checkpoint.pt", weights_only=True)
    read = checkpoint.read(old["psgld"] / "checkpoint.pt")
    assert "update" in stored and "schema" not in stored
    assert read["schema"] == 2 and "update" not in read
    assert read["optimizer"]["param_groups"] == stored["update"]["param_groups"]
