"""Checks of the files and folders that a user names for something to be written to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.store.find import is_run


def check_target(out: Path, endings: Sequence[str]) -> Path:
    """Return the file that `out` names, once it is sure that a table may be written there.

    Raises:
        BnnbenchError: another ending, a folder, a device, or the metrics.csv of a run.
    """
    if out.suffix.lower() not in endings:
        raise BnnbenchError(f"out: {out} should end in {' or '.join(endings)}.")
    target = out.resolve()
    if target.exists() and not target.is_file():
        raise BnnbenchError(f"out: {out} is no file. Name one, such as {out / f'table{endings[0]}'}.")
    if target.name == "metrics.csv" and is_run(target.parent):
        raise BnnbenchError(f"out: {out} is what a run has recorded. Take another name.")
    return target


def check_folder(out: str | Path | None) -> None:
    """Raise ConfigError if `out` is no folder that files can be written to, and cannot be made one."""
    if out is None:
        return
    nearest = next(path for path in (Path(out).absolute(), *Path(out).absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise ConfigError(f"--out {out}: {nearest} is a file, not a folder. Give a folder, new or existing.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: {nearest} cannot be written to. Give another folder.")
