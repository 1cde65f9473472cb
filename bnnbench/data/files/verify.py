"""Checking the files of a set of which a part alone is useful (a test split, for out-of-distribution data)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bnnbench.data.files.root import missing


def verify_files(name: str, folder: Path, checks: Mapping[str, Callable[[Path], str]]) -> list[str]:
    """Apply to each file its check, which returns what holds or raises DataError; a gzipped file will do as well.

    Returns:
        One line a file: what was checked, or that it is absent.

    Raises:
        DataError: a file is wrong, or none is there.
    """
    lines, present = [], 0
    for file, check in checks.items():
        path = existing(folder, file)
        present += path is not None
        lines.append(f"{file}: absent" if path is None else f"{path.name}: {check(path)}")
    if not present:
        raise missing(name, " or ".join(checks), folder)
    return lines


def existing(folder: Path, file: str) -> Path | None:
    """Return the path of `file` in `folder`, plain or gzipped, or None."""
    return next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
