"""A run's folder: config.yaml, manifest.json, metrics.csv, checkpoint.pt, error.txt. Safe against a crash anywhere.

Files that are replaced are written under a temporary name and renamed. metrics.csv only grows, a whole evaluation at a
time; a checkpoint holds its length, and a continued run cuts off what was written after the checkpoint. A run whose
layers drop weights or have an α ends with sparsity.csv: how many each layer keeps.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import torch
import yaml

from bnnbench.config.identity import folder_name
from bnnbench.errors import ConfigError, InUseError
from bnnbench.tasks.measures import COLUMNS

CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")
FILES = ("config.yaml", "manifest.json", "error.txt", "checkpoint.pt", "sparsity.csv")  # that are replaced as a whole


class RunFolder:
    """The folder of one run, locked while it is open.

    Args:
        raw: the resolved configuration; with its hash it names the folder.

    Raises:
        InUseError: another process is writing this folder.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = {key: value for key, value in raw.items() if key != "chosen"}
        # Of the manifest: it is no setting, and runs that differ in it alone are alike.
        self.origin = {"chosen": raw["chosen"]} if raw.get("chosen") else {}
        self.path = run_path(raw)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.path / ".lock")  # freed by the system when the process dies
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InUseError(f"{self.path} is being written by another process; nothing was changed.") from None
        self.manifest = _read_manifest(self.path)
        self.remark = ""  # what `resume` found amiss, in a line

    def resume(self, anew: bool) -> dict[str, Any] | None:
        """Prepare the folder for writing; return the checkpoint to continue from, or None to start from nothing."""
        checkpoint = None if anew else self._read_checkpoint()
        if checkpoint is None:
            self.manifest = {}  # nothing that an older run said is true of this one
        self.note(status="running", **self.origin)  # first of all: what is half replaced must not be taken for finished
        table = self.path / "metrics.csv"
        if checkpoint is None:
            for old in (*CHECKPOINTS, "sparsity.csv"):
                (self.path / old).unlink(missing_ok=True)
            table.write_text(",".join(COLUMNS) + "\n")
        else:
            with table.open("r+b") as stream:
                stream.truncate(checkpoint["csv_bytes"])
        (self.path / "error.txt").unlink(missing_ok=True)
        self._replace("config.yaml", yaml.safe_dump(self.raw, sort_keys=False, allow_unicode=True))
        return checkpoint

    def _read_checkpoint(self) -> dict[str, Any] | None:
        """Return the newest checkpoint to continue from: readable, and with all the rows that it counts on."""
        there = [name for name in CHECKPOINTS if (self.path / name).is_file()]
        for name in there:
            try:
                checkpoint = torch.load(self.path / name, map_location="cpu", weights_only=True)
                complete = (self.path / "metrics.csv").stat().st_size >= checkpoint["csv_bytes"]
            except (RuntimeError, OSError, ValueError, EOFError, KeyError, TypeError, pickle.UnpicklingError):
                continue
            if complete:
                if name != there[0]:
                    self.remark = f"{there[0]} is damaged: going on from the one before it"
                return checkpoint
        if there:
            self.remark = (
                f"{' and '.join(there)} cannot be continued from (damaged, or rows are missing): starting anew"
            )
        return None

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to metrics.csv, numbers in full precision, as one write."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writerows(rows)
        table = self.path / "metrics.csv"
        before = table.stat().st_size
        try:
            with table.open("a") as stream:
                stream.write(text.getvalue())
        except OSError:  # the disk is full: no half row
            os.truncate(table, before)
            raise

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write the state of the run, to be loaded with ``weights_only=True``; keep the one before it.

        A machine that loses its power can leave a file that was renamed and yet not written.
        """
        whole = {**state, "csv_bytes": (self.path / "metrics.csv").stat().st_size}
        partial = self.path / "checkpoint.pt.partial"
        try:
            torch.save(whole, partial)
        except RuntimeError as error:  # how torch reports that the disk is full
            raise OSError(f"checkpoint.pt could not be written ({str(error).splitlines()[0]})") from error
        newest, before = (self.path / name for name in CHECKPOINTS)
        if newest.is_file():
            os.replace(newest, before)
        os.replace(partial, newest)

    def finish(self, **facts: Any) -> None:
        """Add facts to manifest.json and say that the run is finished; one checkpoint is enough then."""
        self.note(status="finished", end=now(), **facts)
        (self.path / CHECKPOINTS[1]).unlink(missing_ok=True)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows, all with the same columns, to the file `name`; see `write_csv`."""
        write_csv(self.path / name, rows)

    def note(self, **facts: Any) -> None:
        """Add facts to manifest.json."""
        self.manifest.update(facts)
        self._replace("manifest.json", json.dumps(self.manifest, indent=2, ensure_ascii=False, default=str) + "\n")

    def fail(self, what: str, trace: str = "") -> None:
        """Keep what went wrong in error.txt and the manifest."""
        self._replace("error.txt", what.rstrip() + "\n" + (f"\n{trace}" if trace else ""))
        self.note(status="failed", error=what, end=now())

    def drop_partials(self) -> None:
        """Remove what this run has half written, as far as the disk lets it; of other files there it knows nothing."""
        for name in FILES:
            with contextlib.suppress(OSError):
                (self.path / f"{name}.partial").unlink(missing_ok=True)

    def close(self) -> None:
        """Give the folder free, without what was half written: a Ctrl-C may come at any instant."""
        try:
            self.drop_partials()
        finally:
            self._lock.release()

    def _replace(self, name: str, text: str) -> None:
        partial = self.path / f"{name}.partial"
        partial.write_text(text)
        os.replace(partial, self.path / name)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the file at `path` by a table of `rows`, numbers in full precision; None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    os.replace(partial, path)


def run_path(raw: Mapping[str, Any]) -> Path:
    """Return where the run of the resolved configuration `raw` is recorded."""
    return Path(raw["results"]).expanduser() / raw["name"] / folder_name(raw)


def check_writable(results: str | Path) -> None:
    """Make the folder if need be, and a file in it that goes again.

    Raises:
        ConfigError: that fails.
    """
    try:
        folder = Path(results).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"results={results}: {error.strerror}. Give a folder that can be written to.") from error


def is_finished(path: Path) -> bool:
    """Whether the run recorded at `path` reached its end."""
    return _read_manifest(path).get("status") == "finished"


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / "manifest.json").read_text())
    except (OSError, ValueError):  # none yet, or not to be trusted: the run starts anew
        return {}
    return manifest if isinstance(manifest, dict) else {}


def now() -> str:
    """Return the present time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
