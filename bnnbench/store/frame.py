"""Folders that runs left behind → columns of numbers and words, or one tidy DataFrame of all of them.

Reads CSV, YAML and JSON only, so it never needs torch. What a thousand runs are read for gets by with the columns of
each: a DataFrame is made, and pandas loaded, where one is asked for.

A run is a folder with ``config.yaml`` (the resolved configuration), ``manifest.json`` (what happened) and
``metrics.csv`` (one row per evaluation, chain, split and predictor). Failed, interrupted and running runs are read like
finished ones: what they recorded counts, and the column ``status`` says how far they came. Other programs' folders and
files are passed over, and nothing that a folder may hold stops the others from being read.
"""

from __future__ import annotations

import csv
import functools
import io
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from bnnbench.config.composition import labels
from bnnbench.config.renamed import current_config
from bnnbench.errors import BnnbenchError, visible
from bnnbench.store import sources
from bnnbench.store.find import HEADER, find_runs, is_damaged_run, is_run
from bnnbench.store.manifest import Manifest
from bnnbench.tasks.measures import COLUMNS, RANGES, measures_of

if TYPE_CHECKING:
    import pandas as pd

LONGEST_CONFIG = 1_000_000  # characters; that of a run has some thousand
WORDS = ("chain", "split", "predictor")  # `chain` is a word too: 0, 1, … or `all`
Columns = Mapping[str, np.ndarray]  # name → [rows], float64 or, of words, object


@dataclass(frozen=True, eq=False)
class Run:
    """One run's folder, as read.

    Attributes:
        folder: where it lies.
        config: the resolved configuration, nested.
        manifest: what happened; empty where the file is missing or half-written.
        columns: of metrics.csv, name → cells [rows]: every one of `COLUMNS` and every measure that the run's task
            declares, then any other; numbers as float64, words as objects. No rows if the run died before its first
            evaluation.
    """

    folder: Path
    config: dict[str, Any]
    manifest: Manifest
    columns: Columns

    @functools.cached_property
    def metrics(self) -> pd.DataFrame:
        """The rows of metrics.csv, with the columns of `columns`."""
        import pandas as pd

        return pd.DataFrame({name: _series(cells) for name, cells in self.columns.items()})

    @property
    def rows(self) -> int:
        """How many rows metrics.csv has."""
        return len(self.columns["iteration"])

    @property
    def last_iteration(self) -> float:
        """The iteration of the last evaluation; 0 without one."""
        return float(self.columns["iteration"].max(initial=0.0))

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration as one level of dotted keys, see `flatten`."""
        return flatten(self.config)

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
        config = _parsed(text)
    except OSError as error:
        raise BnnbenchError(f"{folder / 'config.yaml'}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2024-99-99 is a date to YAML, and no valid one
        raise BnnbenchError(f"{folder / 'config.yaml'}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise BnnbenchError(f"{folder / 'config.yaml'}: not the configuration of a run.")
    config = current_config(config)
    manifest = Manifest.read(folder)
    wanted = list(dict.fromkeys([*COLUMNS, *measures_of(manifest)]))
    run = Run(folder, config, manifest, _read_metrics(folder / "metrics.csv", wanted, finished=manifest.finished))
    budget = manifest.iterations
    _check_rows(run, budget, folder / "metrics.csv")
    if run.finished and budget is not None and not (run.rows and run.last_iteration >= budget):
        last = f"ends at iteration {run.last_iteration:.0f}" if run.rows else "is empty"
        raise BnnbenchError(f"{folder / 'metrics.csv'}: {last}, but the run went to {budget}: a part of it is lost.")
    if run.finished and (lost := _rows_lost(run, manifest.get("final"))):
        raise BnnbenchError(f"{folder / 'metrics.csv'}: no last row of {lost}: a part of it is lost.")
    return run


def _parsed(text: str) -> Any:
    """Return the content of a config.yaml, without control characters in its words.

    Runs of a sweep have most sections to the letter in common: each of these is parsed once.
    """
    sections = re.split(r"^(?=[A-Za-z_]\w*:)", text, flags=re.MULTILINE)
    if sections[0].strip() or re.search(r"^(---|\.\.\.|%)", text, re.MULTILINE):
        return _visible(yaml.load(text, Loader=_Loader))
    config: dict[str, Any] = {}
    for section in sections[1:]:
        found = _section(section)
        if found is None:  # not one key with what belongs to it, as a run writes it
            return _visible(yaml.load(text, Loader=_Loader))
        config[found[0]] = found[1]
    return config


@functools.lru_cache(maxsize=4096)
def _section(text: str) -> tuple[str, Any] | None:
    try:
        content = _visible(yaml.load(text, Loader=_Loader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return next(iter(content.items())) if isinstance(content, dict) and len(content) == 1 else None


def _rows_lost(run: Run, final: Any) -> str | None:
    """Return which of a run's `final` rows, split/predictor/chain → values, is not in its table; None if all are."""
    if not isinstance(final, Mapping) or not final or not run.rows:
        return None
    last = run.columns["iteration"] == run.last_iteration
    words = (run.columns[name][last] for name in ("split", "predictor", "chain"))
    there = {"/".join(row) for row in zip(*words, strict=True)}
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
    import pandas as pd

    flat = [run.settings | _files(run) for run in runs]
    keys = varying(flat, without=("seed", "dataset.name", "model.name", "method.name"))
    recorded = {column for run in runs for column in run.columns}
    abouts = []
    for run, config in zip(runs, flat, strict=True):
        about: dict[str, Any] = {"run": run.folder.name, "status": run.status}
        about |= {part: run.name(part) for part in ("dataset", "model", "method")}
        for key in keys:
            # No measure may be overwritten by a key of the same name.
            about[f"config.{key}" if key in recorded or key in about else key] = config.get(key)
        abouts.append(about | {"seed": run.seed})
    with_rows = [(run, about) for run, about in zip(runs, abouts, strict=True) if run.rows]
    if not with_rows:
        return pd.concat([pd.DataFrame([], columns=list(abouts[0])), runs[0].metrics], axis=1)
    counts = [run.rows for run, _ in with_rows]
    joined = {key: _repeated([about[key] for _, about in with_rows], counts) for key in abouts[0]}
    for name in dict.fromkeys(name for run, _ in with_rows for name in run.columns):
        joined[name] = _joined([run.columns.get(name) for run, _ in with_rows], counts)
    return pd.DataFrame(joined)


def _repeated(values: Sequence[Any], counts: Sequence[int]) -> pd.Series:
    """Return each of `values` as often as `counts` says, in the type that they have in common."""
    import pandas as pd

    alike = {type(value) for value in values} in ({str}, {int}, {float}, {bool})
    if alike and not any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
        return pd.Series(values).repeat(list(counts)).reset_index(drop=True)
    each = [pd.DataFrame({"": [value] * count}) for value, count in zip(values, counts, strict=True)]
    return pd.concat(each, ignore_index=True)[""]


def _joined(cells: Sequence[np.ndarray | None], counts: Sequence[int]) -> pd.Series:
    """Return a column of several tables one below the other; those that lack it have nan."""
    import pandas as pd

    kinds = {"" if each is None else each.dtype.kind for each in cells}
    if kinds <= {"f", ""}:
        parts = [np.full(n, np.nan) if each is None else each for each, n in zip(cells, counts, strict=True)]
        return pd.Series(np.concatenate(parts))
    if kinds == {"O"}:
        return _series(np.concatenate([each for each in cells if each is not None]))
    frames = [
        pd.DataFrame(index=range(n)) if each is None else pd.DataFrame({"": _series(each)})
        for each, n in zip(cells, counts, strict=True)
    ]
    return pd.concat(frames, ignore_index=True)[""]


def _series(cells: np.ndarray) -> pd.Series:
    import pandas as pd

    return pd.Series(cells, dtype=str if cells.dtype.kind == "O" else float)


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


def _read_metrics(path: Path, columns: Sequence[str], finished: bool) -> Columns:
    """Return the columns of a metrics.csv, those of `columns` first, whether or not it has them."""
    try:
        text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
    except OSError as error:
        raise BnnbenchError(f"{path}: {error.strerror}.") from error
    if text and not text.endswith("\n") and not finished:
        # A killed run may leave half a line, and half a number ("0.12" of "0.1234") still reads as a number.
        text = text[: text.rfind("\n") + 1]
    if not text.strip():
        return {name: np.empty(0, object if name in WORDS else float) for name in columns}
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
        table = dict(zip(header, zip(*lines, strict=True), strict=True)) if lines else dict.fromkeys(header, ())
        # One that is not there was added after this was written. Python's float() loses no digit.
        numbers = {name: _numbers(table.get(name), len(lines)) for name in columns if name not in WORDS}
    except (ValueError, csv.Error) as error:
        raise BnnbenchError(f"{path}: not a metrics.csv of bnnbench: {error}") from error
    names = dict.fromkeys([*columns, *header])
    return {name: numbers[name] if name in numbers else np.array(table[name], dtype=object) for name in names}


def _numbers(cells: Sequence[str] | None, rows: int) -> np.ndarray:
    if cells is None:
        return np.full(rows, np.nan)
    return np.array([float(cell) if cell else math.nan for cell in cells], dtype=float)


def _check_rows(run: Run, budget: int | None, path: Path) -> None:
    """Raise BnnbenchError unless the rows of `run`, read from `path`, are such as a run can have written."""
    columns, iteration = run.columns, run.columns["iteration"]
    with np.errstate(invalid="ignore"):
        wrong = ~((iteration >= 0) & (iteration % 1 == 0) & (iteration <= (math.inf if budget is None else budget)))
    if wrong.any():
        raise BnnbenchError(
            f"{path}: iteration {iteration[wrong][0]:g}, which a run of {budget or '?'} iterations does not have."
        )
    for name, (low, high) in RANGES.items():
        beyond = (columns[name] < low) | (columns[name] > high * (1 + 1e-9))
        if beyond.any():
            raise BnnbenchError(f"{path}: {name} {columns[name][beyond][0]:g}; it lies between {low:g} and {high:g}.")
    chains = [chain for chain in dict.fromkeys(columns["chain"]) if not (chain == "all" or chain.isdecimal())]
    if chains:
        raise BnnbenchError(f"{path}: chain {visible(chains[0])[:40]!r}; chains are 0, 1, … or all.")
    if run.finished and len(set(zip(*(columns[name] for name in HEADER), strict=True))) < run.rows:
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
