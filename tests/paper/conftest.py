"""Finished runs made by hand for every line of a figure, in a working directory of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.records import change_manifest
from support.synthetic_runs import row, write_run

VERSIONS = {"git_commit": "0123456789abcdef", "device_name": "Some CPU", "threads": 1, "versions": {"torch": "2.0"}}


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
    change_manifest(folder, **VERSIONS)
    return folder


@pytest.fixture
def make_finished() -> Callable[..., Path]:
    return finished
