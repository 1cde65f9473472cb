"""Learning curves: a measure against iterations, epochs, gradient evaluations or seconds, one line per method.

The look is that of the pSGLD paper's figures. Everything comes from the folders of runs, so that any figure can be
redrawn, years later, on a machine without torch.
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.analysis.plots import style
from bnnbench.analysis.plots.labels import legend_entries
from bnnbench.analysis.plots.legend import as_text, settle_legends
from bnnbench.analysis.plots.panels import (
    PREDICTORS,
    Line,
    Panel,
    X,
    axis_words,
    fill,
    panels_of,
    why_empty,
)
from bnnbench.analysis.plots.series import limits
from bnnbench.errors import BnnbenchError, did_you_mean
from bnnbench.store.files import replacing
from bnnbench.store.frame import load_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_curves(
    paths: Sequence[str | Path] | str | Path,
    *,
    out: str | Path,
    metric: str | None = None,
    x: str = "iteration",
    split: str = "test",
    predictor: str = "posterior",
    formats: Sequence[str] = ("png", "pdf", "svg"),
    title: str | None = None,
    ylim: tuple[float, float] | None = None,
    log_y: bool = False,
    by: str = "method",
) -> list[Path]:
    """Draw the learning curves of all runs at or below `paths` and return the files written.

    Runs that differ in the seed alone make one line: the mean over seeds and chains, with a band of one standard error
    where there are at least two. Each dataset gets a panel.

    Args:
        paths: folders of runs, folders above them, or metrics.csv files.
        out: the file to write. With an ending (``fig.pdf``) that file alone, without one a file for each of `formats`;
            an existing folder gets files named after the metric and the split.
        metric: a measure of metrics.csv, in the unit of `bnnbench.tasks.measures`, or one that a run's own task
            declares. Default: the score of each dataset's task (error, RMSE).
        x: ``iteration``, ``epoch``, ``grad_evals`` or ``seconds`` (of training, evaluation left out).
        split: ``test``, ``valid`` or the name of an out-of-distribution set.
        predictor: ``posterior`` (mean over members; the last iterate where a method has no posterior),
            ``current`` (the last iterate), ``both``, or ``pooled`` (the posterior mean over all chains of a run).
        formats: among png, pdf and svg.
        title: words above the figure.
        ylim: limits of the y-axis, in the units shown; the default leaves out the first points where they are high.
        log_y: logarithmic y-axis.
        by: ``method``, or the configuration key whose value names the lines (``method.optimizer.lr``).

    Raises:
        BnnbenchError: a name is unknown, there is nothing to draw, or there are more datasets than fit one figure.
    """
    _check_formats(Path(out), formats)
    _check_limits(ylim, log_y)
    panels = _panels(paths, metric=metric, x=x, split=split, predictor=predictor, by=by)
    figure = _draw(panels, x=x, split=split, title=title, ylim=ylim, log_y=log_y)
    measures = "-".join(dict.fromkeys(panel.measure.name for panel in panels))
    files = _files(Path(out), formats, f"{measures}-{split}")
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        kind = file.suffix[1:].lower()
        with replacing(file) as partial, style.applied():
            figure.savefig(partial, format=kind, metadata=style.METADATA[kind])
    return files


def draw(
    paths: Sequence[str | Path] | str | Path,
    *,
    metric: str | None = None,
    x: str = "iteration",
    split: str = "test",
    predictor: str = "posterior",
    title: str | None = None,
    ylim: tuple[float, float] | None = None,
    log_y: bool = False,
    by: str = "method",
    fully: bool = True,
) -> Figure:
    """Return the figure that `plot_curves` saves; the arguments are the same, `fully` is that of `legend_entries`."""
    _check_limits(ylim, log_y)
    panels = _panels(paths, metric=metric, x=x, split=split, predictor=predictor, by=by, fully=fully)
    return _draw(panels, x=x, split=split, title=title, ylim=ylim, log_y=log_y)


def _panels(
    paths: Sequence[str | Path] | str | Path,
    *,
    metric: str | None,
    x: str,
    split: str,
    predictor: str,
    by: str,
    fully: bool = True,
) -> list[Panel]:
    """Return the panels with their lines, labelled; warn of each dataset that has no values and leave it out."""
    for what, given, allowed in (("x", x, tuple(X)), ("predictor", predictor, PREDICTORS)):
        if given not in allowed:
            raise BnnbenchError(f"{what}: no '{given}'.{did_you_mean(given, allowed)}")
    panels = panels_of(load_runs(paths), metric)
    for panel in panels:
        fill(panel, x=x, split=split, predictor=predictor)
    drawn = [panel for panel in panels if panel.lines]
    if not drawn:
        raise BnnbenchError(why_empty([run for panel in panels for run in panel.runs], panels[0].measure, split))
    for panel in panels:  # regression has no error, classification no RMSE
        if not panel.lines:
            why = why_empty(panel.runs, panel.measure, split)
            warnings.warn(f"left out: {panel.runs[0].name('dataset')}: {why}", stacklevel=3)
    for panel in drawn:
        groups, sources = [line.group for line in panel.lines], [line.source for line in panel.lines]
        entries = legend_entries(groups, sources, by, fully)
        for line, entry in zip(panel.lines, entries, strict=True):
            line.label = entry
    _add_counts([line for panel in drawn for line in panel.lines])
    return drawn


def _draw(
    panels: Sequence[Panel],
    *,
    x: str,
    split: str,
    title: str | None,
    ylim: tuple[float, float] | None,
    log_y: bool,
) -> Figure:
    from matplotlib.figure import Figure

    looks = style.looks([line.key for panel in panels for line in panel.lines])
    with style.applied():
        width, height = style.PANEL
        figure = Figure(figsize=(width * len(panels), height + 0.15), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for panel, ax in zip(panels, axes, strict=True):
            _draw_panel(ax, panel, looks, log_y=log_y, ylim=ylim)
            ax.set_ylabel(axis_words(panel.measure, split))
            ax.set_xlabel(X[x][1], labelpad=3)
            _caption(ax, panel)
            if len(panels) > 1:
                ax.set_title(panel.runs[0].label("dataset"))
        settle_legends(figure)
        if title:
            figure.suptitle(title) if len(panels) > 1 else axes[0].set_title(title)
            as_text(figure)
    return figure


def _add_counts(lines: Sequence[Line]) -> None:
    """Add the number of seeds to each label, unless it is the same for all lines: then the caption has it."""
    if len({line.bold.seeds for line in lines}) > 1:
        for line in lines:
            count = _count([line.bold.seeds], "seed")
            line.label = f"{line.label[:-1]}, {count})" if line.label.endswith(")") else f"{line.label} ({count})"


def _check_limits(ylim: tuple[float, float] | None, log_y: bool) -> None:
    if ylim is not None and not (0 if log_y else -math.inf) < ylim[0] < ylim[1]:
        above = ", above 0" if log_y else ""
        raise BnnbenchError(f"y axis from {ylim[0]:g} to {ylim[1]:g} (ymin, ymax): the lower end comes first{above}.")


def _check_formats(out: Path, formats: Sequence[str]) -> None:
    if _is_one_file(out):
        return
    style.check_formats(formats)
    if out.suffix[1:].lower() in ("jpg", "jpeg", "eps", "ps", "tif", "tiff", "gif", "webp", "bmp", "pgf"):
        raise BnnbenchError(f"{out}: no format '{out.suffix[1:]}'. Take one of {', '.join(style.METADATA)}.")


def _is_one_file(out: Path) -> bool:
    return out.suffix[1:].lower() in style.METADATA and not out.is_dir()


def _files(out: Path, formats: Sequence[str], default_name: str) -> list[Path]:
    if _is_one_file(out):
        return [out]
    base = out / default_name if out.is_dir() else out
    return [base.with_name(f"{base.name}.{kind}") for kind in formats]


def _draw_panel(
    ax: Axes,
    panel: Panel,
    looks: dict[tuple[str, str], style.Look],
    *,
    log_y: bool,
    ylim: tuple[float, float] | None,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    handles = []
    for i, line in enumerate(panel.lines):
        color, marker, dashes = looks[line.key]
        if line.pale:
            ax.plot(line.pale.x, line.pale.mean, color=color, label="_pale", **style.PALE)
        s = line.bold
        ax.fill_between(s.x, s.mean - s.error, s.mean + s.error, color=color, **style.BAND)
        every = style.sparse(len(s.x), i, len(panel.lines))
        look, face = style.BOLD, color
        if dashes != "-":  # a variant of a method drawn already: its markers are hollow
            look, face = {**style.BOLD, "markeredgecolor": color, "markeredgewidth": 1.1}, "white"
        handles += ax.plot(
            s.x,
            s.mean,
            label=line.label,
            color=color,
            linestyle=dashes,
            marker=marker,
            markevery=every,
            markerfacecolor=face,
            **look,
        )
    if any(line.pale for line in panel.lines):
        handles.append(Line2D([], [], color="#555555", label="last iterate", **style.PALE))
    if log_y:
        ax.set_yscale("log")
    shown = [s for line in panel.lines for s in (line.bold, line.pale) if s]
    low, high = ylim or limits(shown, log=log_y)
    ax.set_ylim(low, high)
    if log_y and high < 100 * low:  # too few powers of ten to read a value from: plain numbers between them
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7) if high < 10 * low else (1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.margins(x=0.02)
    first, last = min(s.x.min() for s in shown), max(s.x.max() for s in shown)
    if 0 <= first <= 0.25 * last:
        ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.legend(handles=handles, loc="best")


def _caption(ax: Axes, panel: Panel) -> None:
    """Write the caption below the axis: data, model, N, temperature, replicates, unfinished runs."""
    runs, lines = panel.runs, panel.lines

    def several(values: list[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    sizes = several([f"{run.manifest['num_data']:,}" for run in runs if run.manifest.get("num_data")])
    facts = [several([run.label("dataset") for run in runs]), several([run.label("model") for run in runs])]
    facts += [f"N = {sizes}"] if sizes else []
    temperatures = several([line.group.temperature for line in lines if line.group.temperature])
    facts += [f"T = {temperatures}"] if temperatures else []
    facts.append(_count([line.bold.seeds for line in lines], "seed"))
    chains = [line.bold.chains for line in lines]
    if max(chains, default=1) > 1:
        facts.append(_count(chains, "chain") + " each")
    if any(line.bold.seeds * line.bold.chains > 1 for line in lines):
        facts.append("band: mean ± 1 s.e.")
    unfinished = sum(not run.finished for run in runs)
    facts += [f"{unfinished} of {len(runs)} runs not finished"] if unfinished else []
    facts += [f"no values: {', '.join(dict.fromkeys(panel.missing))}"] if panel.missing else []
    # A line may break between facts, not inside one.
    solid = " · ".join(fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in facts)
    wrapped = textwrap.fill(solid, 70, break_long_words=False).replace("\N{NO-BREAK SPACE}", " ")
    text = wrapped.replace(" ·\n", "\n").replace("\n· ", "\n")
    ax.annotate(
        text,
        (0.5, 0),
        xycoords=ax.xaxis.label,
        xytext=(0, -3),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=8,
        linespacing=1.1,
        color="#444444",
    )


def _count(values: list[int], word: str) -> str:
    low, high = min(values, default=0), max(values, default=0)
    return f"{low}–{high} {word}s" if low != high else f"{high} {word}" + ("s" if high != 1 else "")
