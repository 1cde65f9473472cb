"""Progress of a run: a bar on a terminal, plain lines elsewhere, and a closing table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, Literal, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bnnbench.analysis.predictions import measured, value_over_chains
from bnnbench.tasks.measures import main_measure, measures_of

PLAIN_EVERY = 10.0  # seconds between plain lines
SPARSITY_HEADS = {  # column of sparsity.csv → head
    "dropped": "dropped %",
    "log_alpha_5": "log α 5 %",
    "log_alpha_50": "median",
    "log_alpha_95": "95 %",
}


class Reporter:
    """Progress of one run.

    Args:
        label: name of the method.
        total: iterations of the whole run.
        start: iterations already made, of a resumed run.
        console: output.
        manifest: of the run; it names the score and describes measures.
    """

    def __init__(
        self,
        label: str,
        total: int,
        start: int = 0,
        console: Console | None = None,
        manifest: Mapping[str, Any] | None = None,
    ) -> None:
        self.console = console or make_console()
        self.total, self.start, self.manifest = total, start, manifest or {}
        self._began = self._last = time.perf_counter()
        self._scores = ""
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
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
        """Move the bar to `iteration`."""
        if self._bar is not None:
            self._bar.update(self._task, completed=iteration)

    def scores(self, iteration: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show the scores of the last iterate and the posterior mean, on the test split or else on the first."""
        self._scores = summary(rows, self.manifest)
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
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()


class _Rate(ProgressColumn):
    """Iterations per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} it/s" if task.speed else "")


def summary(rows: Iterable[Mapping[str, Any]], manifest: Mapping[str, Any] | None = None) -> str:
    """Return e.g. ``test error: current 2.31 %, posterior 1.98 %``.

    Args:
        rows: of one evaluation.
        manifest: of the run; it names the score and describes measures.
    """
    rows = list(rows)
    measure = main_measure(manifest or {}, measured(rows))
    split = "test" if any(row["split"] == "test" for row in rows) else rows[0]["split"]
    words = []
    for predictor in ("current", "posterior"):
        of = [row for row in rows if row["split"] == split and row["predictor"] == predictor]
        value = value_over_chains(of, measure.name)
        if value is not None:
            words.append(f"{predictor} {measure.text(value)}")
    return f"{split} {measure.words}: {', '.join(words)}"


def make_console(records: bool = False) -> Console:
    """Return a console as wide as the terminal; in a pipe or a file, wide enough for every table.

    Args:
        records: whether what it shows is recorded as well, so that a failure to print must not stop the work.
    """
    output = cast(IO[str], _Output(sys.stdout)) if records else None
    console = Console(file=output, markup=False)  # labels and paths are text
    return console if console.is_terminal else Console(file=output, width=160, markup=False)


class _Output:
    """A stream that may fail, its disk full or its reader gone: said once, except of a reader that has gone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except OSError as error:
            if not (self._failed or isinstance(error, BrokenPipeError)):
                print(f"note: standard output could not be written: {error.strerror or error}", file=sys.stderr)
            self._failed = True


def closing_table(rows: Iterable[Mapping[str, Any]], title: str, manifest: Mapping[str, Any] | None = None) -> Table:
    """Return the table of the last evaluation: the score, then measures that have a direction or are of the weights."""
    rows = list(rows)
    manifest = manifest or {}
    main = main_measure(manifest, measured(rows))
    measures = {main.name: main}
    for measure in measures_of(manifest).values():
        if measure.of == "weights" or (measure.of != "training" and measure.more_is_better is not None):
            measures[measure.name] = measure

    def cell(column: str, value: Any) -> str:
        return measures[column].number(value) if column in measures else str(value)

    words = ("split", "predictor", "chain")
    heads = {name: measure.head for name, measure in measures.items()}
    return _table(rows, (*words, "members", *measures), title, words, heads, cell)


def sparsity_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the table of the weights that each layer keeps, from the rows of sparsity.csv."""

    def cell(column: str, value: Any) -> str:
        if column == "dropped":
            return f"{100 * value:.2f}"
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    rows = list(rows)
    words = ("chain", "layer") if len({row["chain"] for row in rows}) > 1 else ("layer",)
    columns = (*words, "weights", "kept", "dropped", "compression", "log_alpha_5", "log_alpha_50", "log_alpha_95")
    return _table(rows, columns, "Weights, biases not counted", words, SPARSITY_HEADS, cell)


def _table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    title: str,
    left: Sequence[str],
    heads: Mapping[str, str],
    cell: Callable[[str, Any], str],
) -> Table:
    """Return the table of those `columns` that have a value; those in `left` hold words."""
    shown = [c for c in columns if any(row.get(c) is not None for row in rows)]
    table = Table(title=title, title_justify="left")
    for column in shown:  # a truncated number would be a wrong one
        justify: Literal["left", "right"] = "left" if column in left else "right"
        table.add_column(heads.get(column, column), justify=justify, no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(column) is None else cell(column, row[column]) for column in shown))
    return table
