"""A sampler, a metric, a task and a prior are one file each in a copy of the package, of which no line changes."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDITIONS = Path(__file__).parent / "additions"
DRIVE = """
import json, sys
from typer.testing import CliRunner
from bnnbench.cli.app import app

answers = []
for words in json.load(sys.stdin):
    result = CliRunner().invoke(app, words)
    answers.append({"code": result.exit_code, "out": result.stdout, "err": result.stderr})
print(json.dumps(answers))
"""
SHORT = ("dataset=digits", "model.widths=[8]", "epochs=4", "members.burn_in=20", "eval.every=14", "threads=1")
COMMANDS = {
    "sampler, metric, prior": (
        "method=sghmc",
        "prior.name=student_t",
        "prior.variance=0.5",
        "eval.metrics=[spherical]",
    ),
    "another seed": (
        "method=sghmc",
        "prior.name=student_t",
        "prior.variance=0.5",
        "eval.metrics=[spherical]",
        "seed=1",
    ),
    "task": ("method=sghmc", "method.optimizer.lr=0.001", "task.name=counts", "name=counts", "prior.name=student_t"),
    "refused metric": ("method=sghmc", "task.name=counts", "eval.metrics=[spherical]"),
    "refused option": ("method=sghmc", "method.optimizer.friction=2"),
}
VERBS = {
    "compare": ("compare", "results/adhoc", "--metric", "spherical"),
    "plot": ("plot", "results/adhoc", "--metric", "spherical", "--out", "figure", "--formats", "svg"),
    "plot counts": ("plot", "results/counts", "--out", "counts", "--formats", "svg"),
    "ls metrics": ("ls", "metrics"),
    "ls methods": ("ls", "methods"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str | int]]]:
    """The copy's folder, and what its command line answers, all from one process."""
    copy = tmp_path_factory.mktemp("copy")
    for part in ("bnnbench", "conf"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ADDITIONS, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    runs = {name: ("run", *words, *SHORT) for name, words in COMMANDS.items()}
    environment = os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVE],
        input=json.dumps([*runs.values(), *VERBS.values()]),
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return copy, dict(zip([*runs, *VERBS], json.loads(done.stdout.splitlines()[-1]), strict=True))


def files(folder: Path) -> set[Path]:
    found = (path.relative_to(folder) for part in ("bnnbench", "conf") for path in (folder / part).rglob("*"))
    return {path for path in found if path.suffix in (".py", ".yaml")}


def test_one_file_each_and_no_other_line_changes(answers: tuple) -> None:
    copy, _ = answers
    added = files(copy) - files(ROOT)
    assert added == files(ADDITIONS) and {path.suffix for path in added} == {".py", ".yaml"}
    assert sorted(path.parent.name for path in added) == ["method", "metrics", "priors", "samplers", "tasks"]
    assert all(filecmp.cmp(ROOT / path, copy / path, shallow=False) for path in files(ROOT))


def test_a_run_with_sampler_metric_and_prior(answers: tuple) -> None:
    copy, said = answers
    for name in ("sampler, metric, prior", "another seed"):
        assert said[name]["code"] == 0, said[name]["err"]
        assert "SGHMC" in said[name]["out"] and "spherical score" in said[name]["out"]
    folder = next(copy.glob("results/adhoc/digits-mlp-sghmc-*"))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["temperature"] == 1 and [m["name"] for m in manifest["measures"]] == ["spherical"]
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert header.split(",")[-1] == "spherical"
    scores = [float(row.split(",")[-1]) for row in rows]
    assert all(0 < score < 1 for score in scores) and scores[-1] > scores[0]


def test_its_metric_is_compared_and_drawn(answers: tuple) -> None:
    copy, said = answers
    assert said["compare"]["code"] == 0 and "spherical score" in said["compare"]["out"]
    assert said["plot"]["code"] == 0 and "spherical score" in (copy / "figure.svg").read_text()
    assert "Spherical score (Good 1971)." in said["ls metrics"]["out"]
    assert "Chen et al. 2014" in said["ls methods"]["out"]


def test_a_run_with_the_task_and_the_prior(answers: tuple) -> None:
    copy, said = answers
    assert said["task"]["code"] == 0, said["task"]["err"]
    assert "Poisson deviance" in said["task"]["out"]
    assert said["plot counts"]["code"] == 0 and "Poisson deviance" in (copy / "counts.svg").read_text()


def test_what_does_not_fit_is_refused_in_a_line(answers: tuple) -> None:
    _, said = answers
    assert said["refused metric"]["err"] == (
        "error: eval.metrics: spherical needs probabilities; the task counts provides rate. Leave it out.\n"
    )
    assert said["refused option"]["code"] == 1
    assert said["refused option"]["err"].startswith("error: method.optimizer.friction=2: input should be less than or")
