"""`bnnbench ls`: what can be run and what has been run. A table on a terminal, plain aligned lines in a pipe."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.cli.common import LISTS
from bnnbench.config.composition import choices, conf_dir
from bnnbench.config.plugins import names
from bnnbench.errors import BnnbenchError, ConfigError, did_you_mean, visible

if TYPE_CHECKING:
    from bnnbench.store.frame import Run

Rows = list[tuple[str, ...]]

GROUPS = {"models": "model", "datasets": "dataset", "schedules": "schedule", "experiments": "experiment"}
HOW_TO_RUN = "Make one: bnnbench run method=psgld"


def show(what: str, results: str | Path = "results") -> None:
    """Print the list called `what`: methods, models, datasets, schedules, metrics, experiments, runs or figures.

    Args:
        what: the list.
        results: for runs, the folder that is searched all the way down; for figures, where their runs lie.

    Raises:
        ConfigError: no such list.
    """
    if what == "methods":
        print_table(("method", "label", "layers", "update rule", "norm", "reference"), _methods())
    elif what in GROUPS:
        print_table((GROUPS[what], "what it is"), _described(GROUPS[what]))
    elif what == "metrics":
        print_table(("metric", "words", "needs", "what it is"), _metrics(), "Recorded by eval.metrics=[<metric>].")
    elif what == "runs":
        if not Path(results).exists() and str(results) != "results":  # a new user has no such folder yet
            raise ConfigError(f"--results {results}: no such folder. Give the one that runs were written to.")
        rows = _runs(Path(results))
        if not rows:
            print(f"No runs in {results}. {HOW_TO_RUN}")
            return
        header = ("run", "dataset", "model", "method", "seed", "status", "iteration", "current", "posterior")
        print_table(
            header, rows, "The last two: the last test score, such as error, or RMSE in the target's units.", wrap=False
        )
    elif what == "figures":
        note = "Make or finish one: make figures FIG=<figure>"
        print_table(("figure", "source", "cost", "state"), _figures(Path(results)), note)
    else:
        raise ConfigError(f"ls {what}: no such list.{did_you_mean(what, LISTS)}")


def print_table(header: Sequence[str], rows: Rows, note: str = "", wrap: bool = True) -> None:
    """Print `rows` below `header`, for eyes on a terminal and for grep and awk elsewhere.

    Args:
        header: words above the columns.
        rows: the cells.
        note: a line below, on a terminal.
        wrap: whether the last column may be folded to the width of the terminal.
    """
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(caption=note or None, caption_justify="left", box=box.SIMPLE_HEAD)
        for number, word in enumerate(header, start=1):
            table.add_column(word, no_wrap=not wrap or number < len(header))
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))  # Text: brackets in a cell are no markup
        console = Console(markup=False)
        needed = 0 if wrap else console.measure(table, options=console.options.update(max_width=10_000)).maximum
        Console(width=max(console.width, needed), markup=False).print(table, soft_wrap=needed > console.width)
        return
    lines = [tuple(header), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _methods() -> Rows:
    import yaml

    rows: Rows = []
    for name in choices("method"):
        content = yaml.safe_load((conf_dir() / "method" / f"{name}.yaml").read_text("utf-8"))
        method = content.get("method", content)  # a file in the package _global_ sets more than the method
        rule = method.get("optimizer", {}).get("name", "")
        norm = method.get("norm", "none")
        layers = method.get("layers", {}).get("name", "deterministic")
        rows.append(
            (name, str(method.get("label", "")), str(layers), str(rule), str(norm), str(method.get("reference", "")))
        )
    return rows


def _metrics() -> Rows:
    from bnnbench.config.plugins import class_names, find_class
    from bnnbench.tasks.metrics.base import Metric

    rows: Rows = []
    for name in class_names("tasks/metrics", Metric):
        metric = find_class("tasks/metrics", name, Metric, where="metric")
        module = sys.modules[metric.__module__]
        rows.append((name, metric.measure.words, ", ".join(metric.needs), (module.__doc__ or "").partition("\n")[0]))
    return rows


def _described(group: str) -> Rows:
    rows: Rows = []
    for name in choices(group):
        about = _comment(conf_dir() / group / f"{name}.yaml")
        if group == "dataset" and name not in names("data"):  # one file for several sets: dataset=uci dataset.name=…
            about += f"; dataset.name= and `bnnbench data fetch` take {', '.join(_sets_without_file())}"
        rows.append((name, about))
    return rows


def _sets_without_file() -> list[str]:
    return [name for name in names("data") if name not in choices("dataset")]


def _comment(path: Path) -> str:
    """Return the first sentence that a yaml file says about itself, Hydra's ``# @package`` line left out."""
    words: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# @"):
            continue
        if not line.startswith("#") or (words and words[-1].endswith((".", ")"))):
            break
        words.append(line.lstrip("# "))
    return " ".join(words)


def _runs(results: Path) -> Rows:
    if not results.exists():
        return []
    from bnnbench.store.find import find_runs
    from bnnbench.store.frame import read_folders

    try:
        folders = find_runs(results)
    except BnnbenchError:  # none there
        return []
    with warnings.catch_warnings(action="ignore"):
        runs, damage = read_folders(folders)
        rows = [_run(run) for run in runs]
    for reason in damage:
        print(f"left out: {visible(reason)}", file=sys.stderr)
    return rows


def _run(run: Run) -> tuple[str, ...]:
    parts = [run.name(part) for part in ("dataset", "model", "method")]
    seed = "" if run.seed is None else str(run.seed)
    scores = [_score(run, predictor) for predictor in ("current", "posterior")]
    return (str(run.folder), *parts, seed, _status(run), f"{run.last_iteration:.0f}", *scores)


def _figures(results: Path) -> Rows:
    from bnnbench.paper._figure import figures, load_figure
    from bnnbench.paper._state import state

    shown = [(name, load_figure(name)) for name in figures()]
    return [(name, figure.source, figure.cost, state(name, figure, results)) for name, figure in shown]


def _status(run: Run) -> str:
    """Return the manifest's status; `stopped` for a run recorded as running whose lock nobody holds."""
    from bnnbench.store.folder import is_abandoned
    from bnnbench.store.manifest import RunStatus

    return "stopped" if run.status == RunStatus.RUNNING and is_abandoned(run.folder) else run.status


def _score(run: Run, predictor: str) -> str:
    """Return the last test score of `predictor`."""
    from bnnbench.analysis.predictions import last_scores
    from bnnbench.tasks.measures import main_measure

    scores = last_scores(run, predictor)
    measure = main_measure(run.manifest, scores)
    return measure.text(scores[measure.name]) if measure.name in scores else ""
