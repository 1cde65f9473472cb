"""Tells runs' folders from those of other programs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bnnbench.errors import BnnbenchError
from bnnbench.store.manifest import Manifest

HEADER = ("iteration", "chain", "split", "predictor")  # columns by which metrics.csv is known as one of ours


def is_run(folder: Path) -> bool:
    """Whether `folder` was written by a run. Cheap, and strict enough to pass over other programs' folders."""
    config, metrics = folder / "config.yaml", folder / "metrics.csv"
    try:
        text = config.read_text("utf-8") if config.is_file() else ""  # a pipe would keep us waiting
        header = ""
        if metrics.is_file():
            with metrics.open(encoding="utf-8") as file:
                header = file.readline()
    except (OSError, UnicodeDecodeError):
        return False
    if not all(re.search(rf"^{key}:", text, re.MULTILINE) for key in ("dataset", "model", "method")):
        return False
    if header.endswith("\n"):
        return set(HEADER) <= {word.strip('"') for word in header.strip().split(",")}
    return (folder / "manifest.json").is_file()  # died before its first evaluation


def is_damaged_run(folder: Path) -> bool:
    """Whether `folder` is that of a run whose config.yaml or metrics.csv is no longer what a run writes."""
    try:
        return not is_run(folder) and Manifest.read(folder).of_a_run
    except BnnbenchError:  # a later version's
        return True


def find_runs(paths: Sequence[str | Path] | str | Path) -> list[Path]:
    """Return the folders of all runs at or below `paths`, each once, in the order given and by name below that.

    Runs with damaged files are among them: what reads them says so.

    Args:
        paths: each a run's folder, a folder above runs (searched all the way down), or a run's metrics.csv.

    Raises:
        BnnbenchError: a path does not exist, a file is not a run's metrics.csv, or there is no run at all.
    """
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    found: dict[Path, Path] = {}  # the real folder → as reached from what was typed: links and overlaps count once
    for path in given:
        if not path.exists():
            raise BnnbenchError(
                f"{path}: no such file or folder. Give a run's folder, a folder above runs or metrics.csv."
            )
        if path.is_file() and not (path.name == "metrics.csv" and is_run(path.parent)):
            raise BnnbenchError(f"{path}: not a run's metrics.csv (its folder must hold config.yaml too).")
        for folder in [path.parent] if path.is_file() else _walk(path):
            found.setdefault(folder.resolve(), folder)
    if not found:
        raise BnnbenchError(
            f"No runs in {', '.join(map(str, given)) or '(no path given)'}: a run is a folder with config.yaml, "
            "manifest.json and metrics.csv.\nMake one with `bnnbench run`, e.g. `bnnbench run method=psgld`."
        )
    return list(found.values())


def _walk(top: Path) -> Iterator[Path]:
    for folder, below, _files in os.walk(top):
        if is_run(Path(folder)) or is_damaged_run(Path(folder)):
            below.clear()  # runs do not nest
            yield Path(folder)
        below[:] = sorted(name for name in below if not name.startswith("."))  # .hydra and .git hold no runs
