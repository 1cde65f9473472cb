"""A run's folder while it is written, and what can be asked of one without opening it.

metrics.csv only grows, a whole evaluation at a time; a checkpoint holds its length, and a continued run cuts off what
was written after the checkpoint. All other files are replaced as a whole. A run ends with per_datum.npz, the scores of
each test datum; one whose layers drop weights or have an α with sparsity.csv too: how many each layer keeps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import yaml

from bnnbench.config.identity import folder_name
from bnnbench.errors import BnnbenchError, ConfigError, InUseError
from bnnbench.store import checkpoint, files, manifest, per_datum, sources
from bnnbench.store.manifest import Manifest, RunStatus
from bnnbench.store.tables import MetricsTable, write_csv
from bnnbench.tasks.measures import COLUMNS

LOCK = ".lock"
REPLACED = ("config.yaml", manifest.NAME, "error.txt", checkpoint.NAME, "sparsity.csv", per_datum.NAME)


class RunFolder:
    """The folder of one run, locked while it is open.

    Args:
        raw: the resolved configuration; with its hash it names the folder.
        columns: of metrics.csv. A task with measures of its own has them behind those of `COLUMNS`.

    Raises:
        InUseError: another process is writing this folder.
        BnnbenchError: a later version of bnnbench has written it.
    """

    def __init__(self, raw: Mapping[str, Any], columns: Sequence[str] = COLUMNS) -> None:
        self.raw = {key: value for key, value in raw.items() if key != "chosen"}
        # Of the manifest: it is no setting, and runs that differ in it alone are alike.
        self.origin = {"chosen": raw["chosen"]} if raw.get("chosen") else {}
        self.path = run_path(raw)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.path / LOCK)  # freed by the system when the process dies
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InUseError(f"{self.path} is being written by another process; nothing was changed.") from None
        try:
            self.manifest = Manifest.read(self.path)
        except BaseException:
            self._lock.release()
            raise
        self.metrics = MetricsTable(self.path / "metrics.csv", columns)
        self.remark = ""  # what `resume` met amiss, in a line

    def resume(self, anew: bool) -> dict[str, Any] | None:
        """Prepare the folder for writing; return the checkpoint to continue from, or None to start from nothing.

        Raises:
            ConfigError: the rows so far have other columns; nothing was changed.
        """
        state = None
        if not anew:
            state, self.remark = checkpoint.resumable(self.path, self.metrics.size)
        if state is None:
            self.manifest = Manifest()  # nothing that an older run said is true of this one
        else:
            self.metrics.check_columns()
        # First of all: what is half replaced must not be taken for finished.
        self.note(status=RunStatus.RUNNING, **self.origin)
        if state is None:
            for old in (checkpoint.NAME, checkpoint.PREVIOUS, "sparsity.csv", per_datum.NAME):
                (self.path / old).unlink(missing_ok=True)
            self.metrics.begin()
        else:
            self.metrics.cut(state["csv_bytes"])
        (self.path / "error.txt").unlink(missing_ok=True)
        files.write(self.path / "config.yaml", yaml.safe_dump(self.raw, sort_keys=False, allow_unicode=True))
        return state

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add the rows of one evaluation to metrics.csv."""
        self.metrics.append(rows)

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write the state of the run after the rows so far."""
        checkpoint.write(self.path, {**state, "csv_bytes": self.metrics.size})

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows, all with the same columns, to the file `name`."""
        write_csv(self.path / name, rows)

    def keep_per_datum(self, scores: per_datum.Scores) -> None:
        """Write the scores of each datum of the last evaluation, where the task has some."""
        if any(scores.values()):
            per_datum.write(self.path, scores)

    def doubt(self, lines: Sequence[str]) -> None:
        """Keep in the manifest what speaks against the numbers of this run."""
        self.note(doubts=list(lines))

    def note(self, **facts: Any) -> None:
        """Add facts to the manifest."""
        self.manifest.update(facts)
        self.manifest.write(self.path)

    def finish(self, **facts: Any) -> None:
        """Add facts to the manifest and say that the run is finished; one checkpoint is enough then."""
        self.note(status=RunStatus.FINISHED, end=now(), **facts)
        (self.path / checkpoint.PREVIOUS).unlink(missing_ok=True)

    def interrupt(self) -> None:
        """Say in the manifest that the user has stopped the run."""
        self.note(status=RunStatus.INTERRUPTED, end=now())

    def fail(self, what: str, trace: str = "") -> None:
        """Keep what went wrong in error.txt and the manifest."""
        files.write(self.path / "error.txt", what.rstrip() + "\n" + (f"\n{trace}" if trace else ""))
        self.note(status=RunStatus.FAILED, error=what, end=now())

    def close(self) -> None:
        """Give the folder free, without what was half written: a kill or a Ctrl-C may come at any instant."""
        try:
            for name in REPLACED:
                files.drop_partials(self.path / name)
        finally:
            self._lock.release()


def run_path(raw: Mapping[str, Any]) -> Path:
    """Return where the run of the resolved configuration `raw` is recorded.

    Its settings name the folder. Where a run lies there whose data or code of the user's have changed since, which is
    another experiment, a number is added: ``-2``, ``-3``.
    """
    first = named_path(raw)
    path, number, root = first, 1, (raw.get("data") or {}).get("root")
    try:
        while sources.changed(Manifest.read(path), root) is not None:
            number += 1
            path = first.with_name(f"{first.name}-{number}")
    except BnnbenchError:  # a later version's manifest: who opens the folder says so
        pass
    return path


def named_path(raw: Mapping[str, Any]) -> Path:
    """Return the folder that the settings alone name."""
    return Path(raw["results"]).expanduser() / raw["name"] / folder_name(raw)


def is_finished(path: Path) -> bool:
    """Whether the run recorded at `path` reached its end."""
    return Manifest.read(path).finished


def is_abandoned(path: Path) -> bool:
    """Whether the process that wrote the run at `path` is gone. False where there is no lock to ask, as in a copy."""
    if not (path / LOCK).is_file():
        return False
    try:
        with filelock.FileLock(path / LOCK, timeout=0):
            return True
    except (filelock.Timeout, OSError):
        return False


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


def now() -> str:
    """Return the present time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
