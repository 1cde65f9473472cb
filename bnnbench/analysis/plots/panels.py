"""Contents of a figure of curves, before any drawing: a panel per dataset, a line per configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bnnbench.analysis.groups import Replicates, replicates
from bnnbench.analysis.plots.series import Series, series
from bnnbench.analysis.predictions import measures_in, preferred
from bnnbench.errors import BnnbenchError, did_you_mean
from bnnbench.store.frame import Columns, Run
from bnnbench.tasks.measures import Measure, main_measure

X = {
    "iteration": ("iteration", "Iterations"),
    "epoch": ("epoch", "Epochs"),
    "grad_evals": ("grad_evals", "Gradient evaluations"),
    "seconds": ("train_seconds", "Training seconds"),
}
SPLITS = {"test": "Test", "valid": "Validation", "train": "Training"}
PREDICTORS = ("posterior", "current", "both", "pooled")
MAX_PANELS = 4


def axis_words(measure: Measure, split: str | None) -> str:
    """Return the label of the y-axis: "Test error (%)"; without a split, as weights and training are, "KL (nats)"."""
    if measure.of_chain or split is None:
        return measure.axis[:1].upper() + measure.axis[1:]
    return f"{SPLITS.get(split, split)} {measure.axis}"


@dataclass
class Line:
    """Replicates as drawn: the bold line and, with ``predictor="both"``, the pale one behind it.

    Attributes:
        group: the runs.
        bold: the bold line.
        source: what `bold` shows unless it is a chain's posterior: "last iterate", "mean of 5 networks", "5 chains
            pooled".
        ensemble: whether the mean is over the last iterates of the chains; drawn in the look of an ensemble, whatever
            trained its members.
        pale: the last iterate.
        label: the legend's entry.
    """

    group: Replicates
    bold: Series
    source: str
    ensemble: bool = False
    pale: Series | None = None
    label: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The key of the line's look: method and label."""
        return ("ensemble" if self.ensemble else self.group.method), self.label


@dataclass
class Panel:
    """One dataset.

    Attributes:
        runs: its runs.
        measure: the measure drawn.
        lines: those that have values.
        missing: labels of the methods that have none.
    """

    runs: list[Run]
    measure: Measure
    lines: list[Line] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def panels_of(runs: Sequence[Run], metric: str | None) -> list[Panel]:
    """Return one empty panel per dataset, in the order of the runs; a `metric` of None is the task's score."""
    if metric is not None and metric not in measures_in(runs):
        raise BnnbenchError(f"metric: no '{metric}'.{did_you_mean(metric, measures_in(runs))}")
    datasets: dict[str, list[Run]] = {}
    for run in runs:
        datasets.setdefault(run.name("dataset"), []).append(run)
    if len(datasets) > MAX_PANELS:
        raise BnnbenchError(
            f"{len(datasets)} datasets ({', '.join(datasets)}) do not fit one figure; the most is {MAX_PANELS}. "
            "Give the runs of fewer datasets at a time."
        )
    return [Panel(those, _measure(those, metric)) for those in datasets.values()]


def _measure(runs: Sequence[Run], metric: str | None) -> Measure:
    if metric is None:
        recorded = {name for name in measures_in(runs) if any(_has_values(run.columns, name) for run in runs)}
        return main_measure(runs[0].manifest, recorded)
    return measures_in(runs).get(metric, Measure(metric, metric))  # a measure of another dataset's task: no lines


def fill(panel: Panel, *, x: str, split: str, predictor: str) -> None:
    """Compute the lines of `panel`; the arguments are those of `plot_curves`."""
    if panel.measure.of_chain:
        predictor = "current"
    wanted = ("current",) if predictor == "current" else ("posterior", "current")
    for group in replicates(panel.runs):
        recorded: dict[str, Series] = {}
        for which in wanted:
            line = series(
                group.runs,
                metric=panel.measure.name,
                x=X[x][0],
                split=split,
                predictor=which,
                scale=panel.measure.scale,
                pool=predictor == "pooled" and which == "posterior",
            )
            if line:
                recorded[which] = line
        if not recorded:
            panel.missing.append(group.runs[0].label("method"))
            continue
        shown = preferred(recorded)
        bold = recorded[shown]
        if shown == "current":
            panel.lines.append(Line(group, bold, "last iterate"))
            continue
        ensemble = bold.pooled > 0 and bold.only_pooled  # each chain has a last iterate and no posterior of its own
        source = ""
        if bold.pooled:
            source = f"mean of {bold.pooled} networks" if ensemble else f"{bold.pooled} chains pooled"
        pale = recorded.get("current") if predictor == "both" else None
        panel.lines.append(Line(group, bold, source, ensemble, pale))


def why_empty(runs: Sequence[Run], measure: Measure, split: str) -> str:
    """Return the error message for runs that have nothing to draw."""
    rows = [run.columns for run in runs if run.rows]
    if not rows:
        return f"None of the {len(runs)} runs has recorded an evaluation yet."
    splits = sorted({name for columns in rows for name in columns["split"]})
    if split not in splits:
        return f"split: no '{split}' in these runs.{did_you_mean(split, splits)}"
    recorded = [name for name in measures_in(runs) if any(_has_values(columns, name, split) for columns in rows)]
    return f"metric: these runs have no values of '{measure.name}' on '{split}'.{did_you_mean(measure.name, recorded)}"


def _has_values(columns: Columns, name: str, split: str | None = None) -> bool:
    if name not in columns:
        return False
    cells = columns[name] if split is None else columns[name][columns["split"] == split]
    return not np.isnan(cells).all()
