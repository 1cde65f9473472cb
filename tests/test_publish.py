"""Publishing copies, draws and tabulates what is finished, and changes nothing otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bnnbench.errors import BnnbenchError
from bnnbench.publish import publish
from bnnbench.results import last_scores, load_run

Run = Callable[..., Path]


def test_figure_table_and_readme_come_from_the_runs(
    run_small: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("before\n<!-- fig -->\nold\n<!-- end fig -->\nafter\n")
    folder = run_small("method=sgld", "chains=3")
    run_small("method=sgd")
    for _ in range(2):  # again over what it has published itself
        publish(["results"], "fig", "epoch")
    readme = Path("README.md").read_text()
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert "old" not in readme
    scores = last_scores(load_run(folder), "posterior")
    (row,) = (line for line in readme.splitlines() if line.startswith("| SGLD"))
    final = json.loads((folder / "manifest.json").read_text())["final"]["test/posterior/all"]
    assert scores["error"] == final["error"]  # pooled over the chains, not their mean
    assert f"| {100 * final['error']:.2f} | {final['nll']:.4f} |" in row
    assert "| 3 |" in row
    assert (tmp_path / "results/published/fig.png").stat().st_size > 10_000
    assert len(list((tmp_path / "results/published/fig").rglob("metrics.csv"))) == 2
    assert not list((tmp_path / "results/published").rglob("checkpoint.pt"))


def test_an_unfinished_run_publishes_nothing(run_small: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run_small("method=sgd")
    publish(["results"], "fig", "epoch")
    before = (tmp_path / "results/published/fig.md").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "failed"}))
    with pytest.raises(BnnbenchError, match="not finished"):
        publish(["results/adhoc"], "fig", "epoch")
    assert (tmp_path / "results/published/fig.md").read_text() == before
