"""Folders of runs that an earlier version wrote."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

RUNS = Path(__file__).parent / "runs_0ecd29c"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Method → folder of a run of commit 0ecd29c, a copy below results/old in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copytree(RUNS / "old", "results/old")
    shutil.copy(RUNS / "uninterrupted.csv", ".")
    for packed in Path("results/old").rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return {folder.name.split("-")[2]: folder for folder in sorted(Path("results/old").iterdir())}


@pytest.fixture
def expected() -> dict[str, Any]:
    """What the commands of that commit say of these runs."""
    return json.loads((RUNS / "expected.json").read_text("utf-8"))
