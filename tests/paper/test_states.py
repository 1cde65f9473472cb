"""`bnnbench ls figures`, and what the Makefile and the README say of figures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import invoke

from bnnbench.paper._figure import figures, load_figure
from bnnbench.paper._publish import publish
from bnnbench.paper._runs import planned
from bnnbench.paper._state import state

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., Path]


def listed() -> dict[str, list[str]]:
    result = invoke("ls", "figures")
    assert result.exit_code == 0, result.stderr
    rows = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    assert rows[0] == ["figure", "source", "cost", "state"]
    return {row[0]: row[1:] for row in rows[1:]}


def test_without_results_all_are_missing(here: Path) -> None:
    rows = listed()
    assert list(rows) == figures()
    assert {row[-1] for row in rows.values()} == {"missing"}
    assert rows["layers_mnist"][0] == "Kingma et al. 2015, figure 1"
    assert not list(here.iterdir())


def test_runs_that_are_finished_are_counted(here: Path) -> None:
    figure = load_figure("psgld_mnist")
    folders = planned(figure.sweeps, "elsewhere")
    folders[0].parent.mkdir(parents=True)
    assert state("psgld_mnist", figure, Path("elsewhere")) == "missing"
    for folder, word in zip(folders, ("finished", "finished", "running"), strict=False):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"status": word}))
    assert state("psgld_mnist", figure, Path("elsewhere")) == "partial, 2 of 7 runs"


def test_what_is_published_is_shown_with_its_commit_and_what_it_lacks(here: Path, make_finished: Make) -> None:
    figure = load_figure("layers_mnist")
    runs = [make_finished(here / "r" / str(i), "vd", seed=i) for i in range(6)]
    publish("layers_mnist", figure, runs)
    assert state("layers_mnist", figure, Path("results")) == "published, commit 0123456789"
    shutil.rmtree(here / "results/published/layers_mnist/r/5")
    assert state("layers_mnist", figure, Path("results")) == "published, 5 of 6 runs, commit 0123456789"
    (here / "results/published/layers_mnist/r/0/manifest.json").write_text("half")
    assert "commit 0123456789, unknown" in state("layers_mnist", figure, Path("results"))


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["figures"], "bnnbench.paper"),
        (["figures", "FIG=psgld_a9a"], "bnnbench.paper psgld_a9a"),
        (["figures-quick"], "bnnbench.paper --quick"),
    ],
)
def test_make_calls_the_command(words: list[str], command: str) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}  # not those of `make test`
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1].rstrip().endswith(f"python -m {command}")


def test_the_sweep_of_the_makefile_is_that_of_its_figure() -> None:
    recipe = (ROOT / "Makefile").read_text()
    assert f"run -m {' '.join(load_figure('sweep_demo').sweeps[0])}\n" in recipe


def test_the_readme_has_a_block_for_every_figure_as_it_was_published() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in figures():
        (block,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- end {name} -->", readme, re.DOTALL)
        words = ROOT / "results/published" / f"{name}.md"
        expected = (
            words.read_text().replace(f"({name}.png)", f"(results/published/{name}.png)") if words.is_file() else ""
        )
        assert block == expected
