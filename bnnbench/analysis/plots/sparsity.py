"""The figure of `bnnbench sparsity`: score and fraction of dropped weights against the threshold of log α."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.analysis.plots import style
from bnnbench.analysis.plots.legend import as_text
from bnnbench.analysis.plots.panels import axis_words
from bnnbench.errors import BnnbenchError
from bnnbench.store.files import replacing
from bnnbench.store.tables import read_csv
from bnnbench.tasks.measures import MEASURES, Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Columns of the table; the others are scores, the first of them the one that is drawn.
COLUMNS = ("chain", "threshold", "own", "weights", "kept", "dropped", "compression", "split")
CsvRow = dict[str, str]


def plot_sparsity(
    table: str | Path,
    *,
    out: str | Path | None = None,
    formats: Sequence[str] = ("png", "pdf", "svg"),
    title: str | None = None,
    measures: Mapping[str, Measure] = MEASURES,
) -> list[Path]:
    """Draw a sparsity_curve.csv and return the files written.

    Args:
        table: the CSV.
        out: the figure's name without ending; default: that of the CSV, beside it.
        formats: among png, pdf and svg.
        title: words above the figure.
        measures: words and units of the scores, those of the run's own task included.

    Raises:
        BnnbenchError: no such format, or not such a CSV.
    """
    table = Path(table)
    style.check_formats(formats)
    figure, base = draw(table, title, measures), table.with_suffix("") if out is None else Path(out)
    base.parent.mkdir(parents=True, exist_ok=True)
    files = [base.with_name(f"{base.name}.{kind}") for kind in formats]
    for kind, file in zip(formats, files, strict=True):
        with replacing(file) as partial, style.applied():
            figure.savefig(partial, format=kind, metadata=style.METADATA[kind])
    return files


def draw(table: str | Path, title: str | None = None, measures: Mapping[str, Measure] = MEASURES) -> Figure:
    """Return the figure: the score above, logarithmic where it spans a decade, and the weights dropped below."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = _read(Path(table))
    score = next(column for column in rows[0] if column not in COLUMNS)
    splits = sorted({row["split"] for row in rows}, key=lambda name: name != "test")  # the test split in front
    first = [row for row in rows if row["split"] == splits[0]]
    own = next((row for row in first if row["own"] == "1"), None)
    with style.applied():
        width, height = style.PANEL
        figure = Figure(figsize=(width, 1.4 * height), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        by_split = {split: [row for row in rows if row["split"] == split] for split in splits}
        _draw_scores(above, by_split, measures.get(score, Measure(score, score)))
        _draw_dropped(below, first)
        below.set_xlabel(r"Threshold of $\log\,\alpha$")
        below.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10]))
        figure.align_ylabels()
        for ax in (above, below):
            ax.margins(x=0.02)
            if own:
                ax.axvline(float(own["threshold"]), color="#4D4D4D", linestyle=":", linewidth=1.1, zorder=1)
        if own:
            below.set_title(_about_own(own), fontsize=8, color="#444444")  # inside the axes it could hide the curve
        if title:
            above.set_title(title)
        as_text(figure)
    return figure


def _draw_dropped(ax: Axes, rows: list[CsvRow]) -> None:
    """Draw the fraction of weights dropped; where most are, on an axis on which 90, 99 and 99.9 % are equally spaced.

    100 % would be infinitely far on that axis: it stands just beyond the last value, reached by a dashed line.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    x, kept = [float(row["threshold"]) for row in rows], [int(row["kept"]) / int(row["weights"]) for row in rows]
    smallest = min((k for k in kept if k > 0), default=1.0)
    tenfold = smallest < 0.1
    y = [k if k > 0 else math.nan for k in kept] if tenfold else [100 * (1 - k) for k in kept]
    color, marker, _ = style.CYCLE[1]
    every = style.sparse(len(x), 0, 1)
    ax.plot(x, y, color=color, marker=marker, markevery=every, **style.BOLD)
    if tenfold:
        decades = -math.log10(smallest)
        nothing, empty = smallest * 10 ** -max(0.4, 0.15 * decades), kept.count(0)
        deepest = math.floor(decades + 1e-9) if empty else math.ceil(decades)
        ticks = [0.5, *(10.0**-i for i in range(deepest + 1))]
        between = [i * tick for tick in ticks[1:] for i in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]
        if empty:  # the lowest thresholds, which rows begin with; the line ends at the first that keeps a weight
            ends = [nothing] * empty + y[empty : empty + 1]
            (dashed,) = ax.plot(x[: empty + 1], ends, color=color, marker=marker, markevery=every, **style.BOLD)
            dashed.set_linestyle((0, (2, 1)))
            ticks.append(nothing)
        names = {tick: f"{100 * (1 - tick):.10g}" for tick in ticks} | ({nothing: "100"} if empty else {})
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(FixedLocator(ticks))
        ax.yaxis.set_minor_locator(FixedLocator([tick for tick in between if tick >= smallest]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(value, "")))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(1.3, 0.7 * (nothing if empty else smallest))
    else:
        ax.set_ylim(-3, 103)
    ax.set_ylabel("Weights dropped (%)")


def _about_own(own: CsvRow) -> str:
    """Return the fraction that the run's own threshold drops, in words."""
    at, dropped, compression = (float(own[key]) for key in ("threshold", "dropped", "compression"))
    left = f"1/{compression:.4g} left" if math.isfinite(compression) else "nothing left"
    return f"dotted: the run's threshold, {at:g}: {100 * dropped:.2f} % dropped, {left}"


def _draw_scores(ax: Axes, rows_of: dict[str, list[CsvRow]], measure: Measure) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    values: list[float] = []
    for i, (split, rows) in enumerate(rows_of.items()):
        look, x = style.CYCLE[0], [float(row["threshold"]) for row in rows]
        y = [measure.scale * float(row[measure.name]) for row in rows]
        values += y
        if i == 0:
            every = style.sparse(len(x), 0, 1)
            ax.plot(x, y, color=look.color, marker=look.marker, markevery=every, label=split, **style.BOLD)
        else:
            ax.plot(x, y, color=look.color, label=split, **style.PALE)
    ax.set_ylabel(axis_words(measure, None if len(rows_of) > 1 else split))
    if len(rows_of) > 1:
        ax.legend(loc="best")
    low, high = min(values), max(values)
    if low > 0 and high > 10 * low:  # from chance level down to a good network
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def _read(table: Path) -> list[CsvRow]:
    try:
        rows = read_csv(table)
    except FileNotFoundError:
        raise BnnbenchError(f"{table}: no such file. `bnnbench sparsity RUN` makes it.") from None
    columns = set(rows[0]) if rows else set()
    if not columns > set(COLUMNS):
        raise BnnbenchError(f"{table}: not a table of `bnnbench sparsity`.")
    return rows
