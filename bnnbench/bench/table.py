"""Rows of the bench: their CSV, where they come from, what has changed since the baseline."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bnnbench.bench.timing import Blocks, Ratio
from bnnbench.experiment import machine
from bnnbench.publishing import rows as csv_rows
from bnnbench.store import files
from bnnbench.store.folder import now


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: was measured.
        size: of the network, the batch, or the number of folders.
        threads: CPU threads of torch.
        ratio, low, high: see `bnnbench.bench.timing.Ratio`.
        seconds, cpu_seconds: of one step and chain, one command, or one run.
        against: the reference of the ratio; a reference has a row of its own, against itself.
        part: of the bench.
        peak_mb: of memory, where it was measured.
    """

    what: str
    size: str
    threads: int
    ratio: float
    low: float
    high: float
    seconds: float
    cpu_seconds: float
    against: str
    part: str
    peak_mb: float | None = None

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What a later measurement of the same thing has in common with this one."""
        return self.part, self.what, self.size, self.threads, self.against

    @property
    def is_reference(self) -> bool:
        """Whether the row is that of a reference, whose ratio is 1."""
        return self.what == self.against


def row(part: str, what: str, size: str, threads: int, found: Ratio, against: str, peak_mb: float | None = None) -> Row:
    """Return a row of what was `found`."""
    return Row(what, size, threads, **asdict(found), against=against, part=part, peak_mb=peak_mb)


def rows_of(
    blocks: Blocks, part: str, size: str, threads: int, against: str, labels: Iterable[str] | None = None
) -> list[Row]:
    """Return the reference's row, then one for each of `labels`, by default for all that `blocks` has."""
    chosen = [against, *(label for label in labels or blocks.seconds if label != against)]
    return [row(part, label, size, threads, blocks.ratio(label, against), against) for label in chosen]


def text(rows: Iterable[Row]) -> str:
    """Return the CSV."""
    return csv_rows.text(Row, rows)


def read(path: Path) -> list[Row]:
    """Return the rows of the CSV at `path`, none if there is no such file.

    Raises:
        BnnbenchError: it is not one of the bench.
    """
    return csv_rows.read(Row, path, "the bench")


class Record:
    """The CSV while it grows: after every row it is on the disk, and other parts' rows stay.

    Args:
        path: of the CSV; the provenance of each part lies beside it, in a file of the same name that ends in .json.
        order: of the parts.
    """

    def __init__(self, path: Path, order: Sequence[str]) -> None:
        self.path, self.order = path, list(order)
        self.rows = {each.key: each for each in read(path)}
        self.facts = read_facts(path)

    def begin(self, part: str, facts: dict[str, Any]) -> None:
        """Keep where the rows of `part` that follow come from."""
        self.facts[part] = facts

    def add(self, new: Row) -> None:
        """Put a row in the place of the one that it repeats, or at the end of its part, and write the files."""
        self.rows[new.key] = new
        self._write()

    def end(self, part: str, measured: Sequence[Row]) -> None:
        """Drop the rows of `part` that were not `measured` again, at those numbers of threads."""
        kept, threads = {each.key for each in measured}, {each.threads for each in measured}
        gone = [
            key for key, each in self.rows.items() if each.part == part and key not in kept and each.threads in threads
        ]
        for key in gone:
            del self.rows[key]
        places = {each.key: place for place, each in enumerate(measured)}
        self.rows = dict(sorted(self.rows.items(), key=lambda item: places.get(item[0], -1)))
        self._write()

    def _write(self) -> None:
        def place(each: Row) -> int:
            return self.order.index(each.part) if each.part in self.order else len(self.order)

        files.write(self.path, text(sorted(self.rows.values(), key=place)))
        present = {each.part for each in self.rows.values()}
        facts = {part: self.facts[part] for part in sorted(present & self.facts.keys())}
        files.write(facts_path(self.path), json.dumps({"parts": facts}, indent=2, ensure_ascii=False) + "\n")


def facts_path(path: Path) -> Path:
    """Return where the provenance of the CSV at `path` lies."""
    return path.with_suffix(".json")


def read_facts(path: Path) -> dict[str, dict[str, Any]]:
    """Return part → the provenance of its rows in the CSV at `path`; empty where nothing is known."""
    try:
        content = json.loads(facts_path(path).read_text("utf-8"))
        return {str(part): dict(facts) for part, facts in content["parts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def provenance(device: torch.device, cores: int, dataset: str, rounds: int) -> dict[str, Any]:
    """Return where the rows of a part come from: machine, load, versions, commit, date."""
    facts = machine.describe(device, torch.get_num_threads())
    del facts["threads"]  # each row has its own
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {**facts, "cores": cores, "load_average": load, "dataset": dataset, "rounds": rounds, "date": now()}


def changes(rows: Iterable[Row], baseline: Iterable[Row]) -> list[str]:
    """Return a line for every row whose median lies beyond both quartiles of the same row in the `baseline`."""
    before = {each.key: each for each in baseline}
    lines = []
    for each in rows:
        old = before.get(each.key)
        if old is None or old.low <= each.ratio <= old.high:
            continue
        word = "slower" if each.ratio > old.high else "faster"
        threads = f"{each.threads} thread{'s' * (each.threads > 1)}"
        was = f"{old.ratio:.2f} ({old.low:.2f}–{old.high:.2f})"
        lines.append(f"{word}: {each.part}, {each.what}, {each.size}, {threads}: {each.ratio:.2f}, was {was}")
    return lines
