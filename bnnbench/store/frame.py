"""Folders that runs left behind → one tidy DataFrame. Reads CSV, YAML and JSON only, so it never needs torch.

A run is a folder with ``config.yaml`` (the resolved configuration), ``manifest.json`` (what happened) and
``metrics.csv`` (one row per evaluation, chain, split and predictor). Failed, interrupted and running runs are read like
finished ones: what they recorded counts, and the column ``status`` says how far they came. Other programs' folders and
files are passed over, and nothing that a folder may hold stops the others from being read.
"""

from __future__ import annotations

import csv
import io
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from bnnbench.config.composition import labels
from bnnbench.config.renamed import current_config
from bnnbench.errors import BnnbenchError, visible
from bnnbench.store import sources
from bnnbench.store.find import HEADER, find_runs, is_damaged_run, is_run
from bnnbench.store.manifest import Manifest
from bnnbench.tasks.measures import COLUMNS, RANGES, measures_of

LONGEST_CONFIG = 1_000_000  # characters; that of a run has some thousand
WORDS = ("chain", "split", "predictor")  # `chain` is a word too: 0, 1, … or `all`


@dataclass(frozen=True)
class Run:
    """One run's folder, as read.

    Attributes:
        folder: where it lies.
        config: the resolved configuration, nested.
        manifest: what happened; empty where the file is missing or half-written.
        metrics: the rows of metrics.csv, with every column of `COLUMNS` and every measure that the run's task declares;
            no rows if the run died before its first evaluation.
    """

    folder: Path
    config: dict[str, Any]
    manifest: Manifest
    metrics: pd.DataFrame

    @property
    def status(self) -> str:
        """finished, failed, running or interrupted; `unknown` without a readable manifest."""
        return self.manifest.status or "unknown"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.manifest.finished

    @property
    def seed(self) -> int | None:
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    def name(self, part: str) -> str:
        """The name of this run's `part` (``dataset``, ``model`` or ``method``), as typed on the command line."""
        section = _mapping(self.config.get(part))
        rule = _mapping(section.get("optimizer"))  # a method put together by hand may have no name but its optimizer's
        return str(section.get("name") or self.manifest.get(part) or rule.get("name") or section.get("label") or "?")

    def label(self, part: str) -> str:
        """The word for legends and captions; the name where the yaml gives no label, or another one's.

        A module of the user's own goes with the file of a shipped one, ``dataset=digits dataset.name=my.data``, whose
        label is not its.
        """
        label, name = _mapping(self.config.get(part)).get("label"), self.name(part)
        return name if not label or ("." in name and label in labels(part)) else str(label)


def load_run(folder: str | Path) -> Run:
    """Read one run's folder.

    Raises:
        BnnbenchError: config.yaml or metrics.csv is missing, cannot be understood, or is cut short; or a later version
            of bnnbench has written the run.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise BnnbenchError(f"{folder}: {_why_no_run(folder)}")
    try:
        text = (folder / "config.yaml").read_text("utf-8")
        aliases = "*" in text and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        if aliases or len(text) > LONGEST_CONFIG:
            raise ValueError("too long, or with aliases, which no run writes")
        config = yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise BnnbenchError(f"{folder / 'config.yaml'}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2024-99-99 is a date to YAML, and no valid one
        raise BnnbenchError(f"{folder / 'config.yaml'}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise BnnbenchError(f"{folder / 'config.yaml'}: not the configuration of a run.")
    config = current_config(_visible(config))
    manifest = Manifest.read(folder)
    columns = list(dict.fromkeys([*COLUMNS, *measures_of(manifest)]))
    metrics = _read_metrics(folder / "metrics.csv", columns, finished=manifest.finished)
    budget = manifest.iterations
    _check_rows(metrics, budget, manifest.finished, folder / "metrics.csv")
    if manifest.finished and budget is not None and not metrics["iteration"].max() >= budget:
        last = f"ends at iteration {metrics['iteration'].max():.0f}" if len(metrics) else "is empty"
        raise BnnbenchError(f"{folder / 'metrics.csv'}: {last}, but the run went to {budget}: a part of it is lost.")
    if manifest.finished and (lost := _rows_lost(metrics, manifest.get("final"))):
        raise BnnbenchError(f"{folder / 'metrics.csv'}: no last row of {lost}: a part of it is lost.")
    return Run(folder, config, manifest, metrics)


def _rows_lost(metrics: pd.DataFrame, final: Any) -> str | None:
    """Return which of a run's `final` rows, split/predictor/chain → values, is not in its table; None if all are."""
    if not isinstance(final, Mapping) or not final or not len(metrics):
        return None
    last = metrics[metrics["iteration"] == metrics["iteration"].max()]
    there = {"/".join(map(str, row)) for row in zip(last["split"], last["predictor"], last["chain"], strict=True)}
    return next((str(name) for name in final if name not in there), None)


def _why_no_run(folder: Path) -> str:
    """Return what is wrong with a folder that is not, or no longer, that of a run."""
    if not is_damaged_run(folder):
        return "not a run's folder (config.yaml, manifest.json, metrics.csv)."
    for name in ("config.yaml", "metrics.csv"):
        path = folder / name
        if not path.is_file():
            return f"the run has lost its {name}."
        try:
            path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return f"{name} cannot be read as UTF-8 text: saved by another program?"
    return "config.yaml or the head of metrics.csv is not what a run writes: saved by another program?"


def load(path: Sequence[str | Path] | str | Path) -> pd.DataFrame:
    """Return all runs at or below `path` as one tidy frame.

    Each row of each metrics.csv behind the columns ``run`` (the folder's name), ``status``, ``dataset``, ``model``,
    ``method`` (names), every configuration key that differs between the runs under its dotted name
    (``method.optimizer.lr``), and ``seed``. It may be called while runs are going: of a row half written nothing is
    taken. A damaged run is left out with a warning.
    """
    return frame(load_runs(path))


def frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the rows of `runs`, at least one, as `load` describes them."""
    flat = [flatten(run.config) | _files(run) for run in runs]
    keys = varying(flat, without=("seed", "dataset.name", "model.name", "method.name"))
    recorded = {column for run in runs for column in run.metrics}
    frames = []
    for run, config in zip(runs, flat, strict=True):
        extra: dict[str, Any] = {"run": run.folder.name, "status": run.status}
        extra |= {part: run.name(part) for part in ("dataset", "model", "method")}
        for key in keys:
            # No measure may be overwritten by a key of the same name.
            extra[f"config.{key}" if key in recorded or key in extra else key] = config.get(key)
        extra["seed"] = run.seed
        about = pd.DataFrame([extra] * len(run.metrics), index=run.metrics.index, columns=list(extra))
        frames.append(pd.concat([about, run.metrics], axis=1))
    with_rows = [frame for frame in frames if len(frame)]  # an empty frame would turn whole columns into objects
    return pd.concat(with_rows or frames[:1], ignore_index=True)


def load_runs(paths: Sequence[str | Path] | str | Path) -> list[Run]:
    """Return every readable run at or below `paths`; a damaged one is left out with a warning."""
    runs, damage = read_runs(paths)
    for reason in damage:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    return runs


def read_runs(paths: Sequence[str | Path] | str | Path) -> tuple[list[Run], list[str]]:
    """Return every readable run at or below `paths`, at least one, and for each damaged one what is wrong with it.

    Raises:
        BnnbenchError: as `find_runs`, or every run is damaged.
    """
    runs, damage = read_folders(find_runs(paths))
    if not runs:
        raise BnnbenchError(damage[0])
    return runs, damage


def read_folders(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Return every readable run among `folders`, and for each of the others what is wrong with it."""
    runs, damage = [], []
    for folder in folders:
        try:
            runs.append(load_run(folder))
        except BnnbenchError as error:
            damage.append(str(error))
        except Exception as error:  # whatever a folder holds, it hides no other
            damage.append(f"{folder}: damaged ({type(error).__name__}: {' '.join(str(error).split())[:200]}).")
    return runs, damage


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one level of dotted keys; a list stays one value, written as text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value) if isinstance(value, list) else value
    return flat


def varying(flat: Sequence[Mapping[str, Any]], without: Sequence[str] = ()) -> list[str]:
    """Return the keys whose values differ between the flat configurations; a missing key differs from any value."""
    keys = dict.fromkeys(key for config in flat for key in config)  # a set that keeps the order of the yaml
    return [k for k in keys if k not in without and len({comparable(c.get(k, "missing")) for c in flat}) > 1]


def comparable(value: Any) -> str:
    """Return the same text for the same setting: 1 and 1.0 are one number, however they are typed; True is another."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023:  # beyond, float() fails
        return repr(float(value))
    return repr(value)


def _read_metrics(path: Path, columns: Sequence[str], finished: bool) -> pd.DataFrame:
    try:
        text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
    except OSError as error:
        raise BnnbenchError(f"{path}: {error.strerror}.") from error
    if text and not text.endswith("\n") and not finished:
        # A killed run may leave half a line, and half a number ("0.12" of "0.1234") still reads as a number.
        text = text[: text.rfind("\n") + 1]
    if not text.strip():
        return pd.DataFrame({c: pd.Series(dtype=str if c in WORDS else float) for c in columns})
    try:
        header, *lines = [line for line in csv.reader(io.StringIO(text)) if line]
        if len(set(header)) < len(header):
            raise ValueError("its head names a column twice")
        if not set(HEADER) <= set(header):
            raise ValueError(f"its head lacks {', '.join(sorted(set(HEADER) - set(header)))}")
        if lines and len(lines[-1]) < len(header):
            lines.pop()  # half a line of a copy still under way, or one that an editor has given an end
        for number, line in enumerate(lines, start=1):
            if len(line) != len(header):
                raise ValueError(f"row {number} has {len(line)} cells, not {len(header)}")
        # As words first: an OOD set called "NA" must not vanish, and Python's float() loses no digit.
        table = dict(zip(header, zip(*lines, strict=True), strict=True)) if lines else dict.fromkeys(header, ())
        rows = pd.DataFrame({name: pd.Series(cells, dtype=str) for name, cells in table.items()})
        for column in columns:
            if column not in WORDS:  # one that is not there was added after this was written
                rows[column] = [float(cell or "nan") for cell in table.get(column, ("",) * len(lines))]
    except (ValueError, csv.Error) as error:
        raise BnnbenchError(f"{path}: not a metrics.csv of bnnbench: {error}") from error
    return rows[[*columns, *(column for column in rows if column not in columns)]]


def _check_rows(rows: pd.DataFrame, budget: int | None, finished: bool, path: Path) -> None:
    """Raise BnnbenchError unless these are rows that a run can have written."""
    iteration = rows["iteration"]
    wrong = ~((iteration >= 0) & (iteration % 1 == 0) & (iteration <= (math.inf if budget is None else budget)))
    if wrong.any():
        raise BnnbenchError(
            f"{path}: iteration {iteration[wrong].iloc[0]:g}, which a run of {budget or '?'} iterations does not have."
        )
    for name, (low, high) in RANGES.items():
        beyond = (rows[name] < low) | (rows[name] > high * (1 + 1e-9))
        if beyond.any():
            raise BnnbenchError(f"{path}: {name} {rows[name][beyond].iloc[0]:g}; it lies between {low:g} and {high:g}.")
    chains = [chain for chain in rows["chain"].unique() if not (chain == "all" or str(chain).isdecimal())]
    if chains:
        raise BnnbenchError(f"{path}: chain {visible(str(chains[0]))[:40]!r}; chains are 0, 1, … or all.")
    if finished and rows.duplicated(list(HEADER)).any():
        raise BnnbenchError(f"{path}: rows are there twice (of one iteration, chain, split and predictor).")


def _visible(node: Any) -> Any:
    """Return what a file holds with the control characters in its words written out."""
    if isinstance(node, dict):
        return {_visible(key): _visible(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_visible(value) for value in node]
    return visible(node) if isinstance(node, str) else node


def _files(run: Run) -> dict[str, str]:
    """Return a digest of the data and code of the user's that `run` has read, where it recorded them."""
    read = sources.digest(run.manifest)
    return {} if read is None else {"dataset.files": read}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it was built: far faster


class _Loader(_SafeLoader):
    """YAML 1.2's numbers: PyYAML alone reads ``5e-4`` as a word."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
