"""`bnnbench collect`: all rows of many runs as one CSV, at any time, unfinished runs included."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bnnbench.store import files, targets
from bnnbench.store.frame import frame, read_runs

COUNTS = ("iteration", "grad_evals", "members")


def collect(paths: Sequence[str | Path] | str | Path, out: Path | None = None) -> None:
    """Write the frame of `bnnbench.store.frame.load` as CSV, in full precision, and report to stderr what was read.

    Args:
        paths: folders of runs, folders above them, or metrics.csv files.
        out: a file ending in .csv, replaced atomically; None is stdout.

    Raises:
        BnnbenchError: no runs, none of them readable, or `out` cannot be written.
    """
    target = None if out is None else targets.check_target(out, (".csv",))
    runs, damage = read_runs(paths)
    rows = frame(runs)
    for column in COUNTS:  # whole numbers are written as metrics.csv has them: 300, not 300.0
        if (rows[column].dropna() % 1 == 0).all():
            rows[column] = rows[column].astype("Int64")
    text = rows.to_csv(index=False)
    if target is None:
        sys.stdout.write(text)
    else:
        files.write(target, text)
    for reason in damage:
        print(f"left out: {reason}", file=sys.stderr)
    print(_account(Counter(run.status for run in runs), len(damage), rows), file=sys.stderr)


def _account(statuses: Counter[str], damaged: int, rows: pd.DataFrame) -> str:
    total = statuses.total()
    words = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    left_out = f"; {damaged} damaged left out" if damaged else ""
    return f"read {_count(total, 'run')} ({words}), {_count(len(rows), 'row')}{left_out}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"
