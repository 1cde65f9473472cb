"""Writes a table to a file so that a reader sees the old file or the new one, never half of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bnnbench.errors import BnnbenchError
from bnnbench.store.frame import is_run


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


def write(target: Path, text: str) -> None:
    """Write `text` under a temporary name beside `target`, then rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, "utf-8")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
