"""What a run says while it runs: a bar on a terminal, plain lines elsewhere, a closing table."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 10.0  # seconds between plain lines
PERCENT = {"error": "error %", "sparsity": "sparsity %", "dropped": "dropped %"}  # column → its head
HEADS = {**PERCENT, "log_alpha_5": "log α 5 %", "log_alpha_50": "median", "log_alpha_95": "95 %"}


class Reporter:
    """Progress of one run.

    Args:
        label: the method's word.
        total: iterations of the whole run.
        start: iterations already made, of a continued run.
        console: where to write.
    """

    def __init__(self, label: str, total: int, start: int = 0, console: Console | None = None) -> None:
        self.console = console or Console()
        self.total, self.start = total, start
        self._began = self._last = time.perf_counter()
        self._scores = ""
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                _Rate(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[scores]}"),
                console=self.console,
            )
            self._task = self._bar.add_task(label, total=total, completed=start, scores="")
            self._bar.start()

    def step(self, iteration: int) -> None:
        """Say how far the run is."""
        if self._bar is not None:
            self._bar.update(self._task, completed=iteration)

    def scores(self, iteration: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show the test score (else the first split's) of the current iterate and of the posterior mean."""
        self._scores = summary(rows)
        if self._bar is not None:
            self._bar.update(self._task, completed=iteration, scores=self._scores)
            return
        elapsed = time.perf_counter() - self._last
        if elapsed >= PLAIN_EVERY or iteration == self.total:
            self._last = time.perf_counter()
            rate = (iteration - self.start) / max(1e-9, self._last - self._began)
            left = (self.total - iteration) / max(rate, 1e-9)
            share = 100 * iteration / self.total
            self.console.print(
                f"{iteration}/{self.total} ({share:.0f} %)  {rate:.0f} it/s  {left:.0f} s left  {self._scores}",
                highlight=False,
                soft_wrap=True,
            )

    def close(self) -> None:
        """Take the bar away from the cursor."""
        if self._bar is not None:
            self._bar.stop()


class _Rate(ProgressColumn):
    """Iterations per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} it/s" if task.speed else "")


def summary(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return e.g. ``test error: current 2.31 %, posterior 1.98 %`` from the rows of one evaluation."""
    rows = list(rows)
    split = "test" if any(r["split"] == "test" for r in rows) else rows[0]["split"]
    words = []
    metric = "error" if any("error" in r for r in rows) else "rmse"
    for predictor in ("current", "posterior"):
        mine = [r for r in rows if r["split"] == split and r["predictor"] == predictor and metric in r]
        pooled = [r for r in mine if r["chain"] == "all"] or mine
        if pooled:
            value = sum(float(r[metric]) for r in pooled) / len(pooled)
            words.append(f"{predictor} {100 * value:.2f} %" if metric == "error" else f"{predictor} {value:.4g}")
    return f"{split} {metric}: {', '.join(words)}"


def make_console() -> Console:
    """Return a console that is as wide as its terminal; in a pipe or a file it is wide enough for every table."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def closing_table(rows: Iterable[Mapping[str, Any]], title: str) -> Table:
    """Return the table of the last evaluation."""
    words = ("split", "predictor", "chain")
    numbers = ("members", "error", "rmse", "nll", "brier", "ece", "auroc", "kl", "sparsity")
    return _table(rows, (*words, *numbers), title, words)


def sparsity_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the table of the weights that each layer keeps, from the rows of sparsity.csv."""
    rows = list(rows)
    chain = ("chain",) if len({row["chain"] for row in rows}) > 1 else ()
    columns = (*chain, "layer", "weights", "kept", "dropped", "compression")
    quantiles = ("log_alpha_5", "log_alpha_50", "log_alpha_95")
    return _table(rows, (*columns, *quantiles), "Weights, biases not counted", (*chain, "layer"))


def _table(rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...], title: str, left: tuple[str, ...]) -> Table:
    """Return those of `columns` that have any value; the ones in `left` hold words."""
    rows = list(rows)
    shown = [c for c in columns if any(r.get(c) is not None for r in rows)]
    table = Table(title=title, title_justify="left")
    for column in shown:  # a number cut short would be a wrong number
        justify = "left" if column in left else "right"
        table.add_column(HEADS.get(column, column), justify=justify, no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(column, row.get(column)) for column in shown))
    return table


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column in PERCENT:
        return f"{100 * value:.2f}"
    if column == "kl":  # from a fraction of a nat to millions of them
        return f"{value:.7g}"
    if column == "compression" or column.startswith("log_alpha"):
        return f"{value:.2f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
