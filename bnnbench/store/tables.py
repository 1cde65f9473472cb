"""metrics.csv and the smaller tables of a run, numbers in full precision. What is missing is an empty cell."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bnnbench.errors import ConfigError
from bnnbench.store import files
from bnnbench.tasks.measures import COLUMNS


class MetricsTable:
    """metrics.csv of a run. It only grows, a whole evaluation at a time.

    Args:
        path: the file.
        columns: its head; by default the measures that every task can record.
    """

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.columns = path, tuple(columns)

    @property
    def size(self) -> int:
        """Bytes on the disk; 0 if there is no file."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begin(self) -> None:
        """Start with the head alone."""
        files.write(self.path, ",".join(self.columns) + "\n")

    def cut(self, size: int) -> None:
        """Drop what was written behind the first `size` bytes."""
        with open(self.path, "r+b", opener=files.without_links) as stream:
            stream.truncate(size)

    def check_columns(self) -> None:
        """Compare the head of the file with the columns to be written.

        Raises:
            ConfigError: they differ.
        """
        with self.path.open(encoding="utf-8", newline="") as stream:
            present = next(csv.reader(stream), [])
        if tuple(present) != self.columns:
            differing = sorted(set(present) ^ set(self.columns)) or ["their order"]
            raise ConfigError(
                f"{self.path}: begun with other columns than this run records ({', '.join(differing)}). "
                "Continue it with the task that it was begun with, or begin anew with --force."
            )

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows as one write.

        Raises:
            OSError: the disk is full; no half row is left.
            ValueError: a row has a value for which there is no column.
        """
        text = io.StringIO()
        csv.DictWriter(text, self.columns, restval="", lineterminator="\n").writerows(rows)
        before = self.path.stat().st_size
        try:
            with open(self.path, "a", encoding="utf-8", opener=files.without_links) as stream:
                stream.write(text.getvalue())
        except OSError:
            self.cut(before)
            raise


def last_iteration(table: Path) -> int:
    """Return the iteration of the last row of a metrics.csv that is being written; 0 without rows."""
    try:
        with table.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 4096))
            last = stream.read().decode(errors="replace").splitlines()[-1]
        return int(last.partition(",")[0])
    except (OSError, ValueError, IndexError):
        return 0


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the file at `path` by a table of `rows`, all with the same columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that `write_csv` wrote, each cell as text.

    Raises:
        FileNotFoundError: no such file.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
