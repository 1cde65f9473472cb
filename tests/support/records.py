"""What a run has left, as a test reads it: with the standard library alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run."""
    return json.loads((folder / "manifest.json").read_text())


def change_manifest(folder: Path, **values: Any) -> None:
    """Write `values` into the manifest of a run."""
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder) | values))


def manifests(folder: Path) -> list[dict[str, Any]]:
    """Return the manifests of all runs below ``folder/results``, in the order of their paths."""
    return [manifest_of(path.parent) for path in sorted(folder.glob("results/*/*/manifest.json"))]


def table(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's ``metrics.csv``."""
    with (folder / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def numbers(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's ``metrics.csv`` without the time columns: what the same run always has."""
    return [{name: cell for name, cell in row.items() if not name.endswith("_seconds")} for row in table(folder)]
