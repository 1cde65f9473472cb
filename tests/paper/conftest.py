"""Finished runs made by hand for every line of a figure, in a working directory of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_runs import row, write_run

VERSIONS = {"git_commit": "0123456789abcdef", "device_name": "Some CPU", "threads": 1, "versions": {"torch": "2.0"}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finished(
    folder: Path, method: str = "sgld", errors: tuple[float, ...] = (0.05, 0.03, 0.02), **more: object
) -> Path:
    """Write a finished run whose last iterate and posterior mean have `errors` at iterations 100, 200, …"""
    status = str(more.pop("status", "finished"))
    rows = [
        row(100 * i, error, predictor=predictor, nll=0.1, ece=0.01, members=i, sparsity=0.3 * i, eval_seconds=0.1)
        for i, error in enumerate(errors, start=1)
        for predictor in ("current", "posterior")
    ]
    write_run(folder, rows, method=method, status=status, **more)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **VERSIONS}))
    return folder


@pytest.fixture
def make_finished() -> Callable[..., Path]:
    return finished
