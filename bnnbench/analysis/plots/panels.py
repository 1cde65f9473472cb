"""What a figure of curves shows, before any drawing: a panel per dataset, a line per configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bnnbench.analysis.plots.labels import Group, group
from bnnbench.analysis.plots.series import Series, series
from bnnbench.errors import BnnbenchError, did_you_mean
from bnnbench.store.frame import MEASURES, Run

X = {
    "iteration": ("iteration", "Iterations"),
    "epoch": ("epoch", "Epochs"),
    "grad_evals": ("grad_evals", "Gradient evaluations"),
    "seconds": ("train_seconds", "Training seconds"),
}
PERCENT = ("error", "sparsity")
Y = {  # measures of one split: "Test error (%)"
    "error": "error (%)",
    "nll": "NLL (nats)",
    "brier": "Brier score",
    "ece": "ECE",
    "entropy": "entropy (nats)",
    "mutual_information": "mutual information (nats)",
    "auroc": "AUROC",
    "rmse": "RMSE",
}
Y_OF_TRAINING = {
    "train_loss": "Training loss",
    "kl": "KL (nats)",
    "lr": "Step size",
    "sparsity": "Sparsity (%)",
}
SPLITS = {"test": "Test", "valid": "Validation", "train": "Training"}
PREDICTORS = ("posterior", "current", "both", "pooled")
MAX_PANELS = 4


def axis_words(metric: str, split: str) -> str:
    """Return the y-axis's label."""
    return Y_OF_TRAINING[metric] if metric in Y_OF_TRAINING else f"{SPLITS.get(split, split)} {Y[metric]}"


@dataclass
class Line:
    """One group of runs as drawn: the bold line and, with ``predictor="both"``, the pale one behind it."""

    group: Group
    bold: Series
    source: (
        str  # what the bold line shows if not a chain's posterior: "last iterate", "ensemble of 5", "5 chains pooled"
    )
    ensemble: bool = False  # of last iterates: it looks like an ensemble, whatever trained its members
    pale: Series | None = None
    label: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What the line's look depends on."""
        return ("ensemble" if self.ensemble else self.group.method), self.label


@dataclass
class Panel:
    """One dataset: its lines, and the methods that have nothing to draw."""

    runs: list[Run]
    lines: list[Line] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def panels_of(runs: Sequence[Run]) -> list[Panel]:
    """Return one panel per dataset, in the order of the runs."""
    panels: dict[str, Panel] = {}
    for run in runs:
        panels.setdefault(run.name("dataset"), Panel([])).runs.append(run)
    if len(panels) > MAX_PANELS:
        raise BnnbenchError(
            f"{len(panels)} datasets ({', '.join(panels)}) do not fit one figure; the most is {MAX_PANELS}. "
            "Give the runs of fewer datasets at a time."
        )
    return list(panels.values())


def fill(panel: Panel, *, metric: str, x: str, split: str, predictor: str) -> None:
    """Compute the lines of `panel`; the arguments are those of `plot_curves`."""
    scale = 100.0 if metric in PERCENT else 1.0
    if metric in Y_OF_TRAINING:  # of the training, whatever predicts
        predictor = "current"
    for g in group(panel.runs):

        def get(which: str, runs: list[Run] = g.runs) -> Series | None:
            pool = predictor == "pooled" and which == "posterior"
            return series(runs, metric=metric, x=X[x][0], split=split, predictor=which, scale=scale, pool=pool)

        posterior = None if predictor == "current" else get("posterior")
        current = None if predictor in ("posterior", "pooled") and posterior else get("current")
        if posterior:
            count = posterior.pooled
            named = "ensemble" in g.runs[0].label("method").lower()
            # Without being asked, a line is pooled only where each chain has a last iterate and no more.
            point = g.config.get("method.predictive.name") == "point"
            ensemble = count > 0 and (predictor != "pooled" or point)
            source = f"{count} members" if named else f"ensemble of {count}" if ensemble else f"{count} chains pooled"
            panel.lines.append(Line(g, posterior, source if count else "", ensemble, pale=current))
        elif current:
            panel.lines.append(Line(g, current, "last iterate"))
        else:
            panel.missing.append(g.runs[0].label("method"))


def why_empty(runs: Sequence[Run], metric: str, split: str) -> str:
    """Return the message of the error that no run has anything to draw."""
    rows = [run.metrics for run in runs if len(run.metrics)]
    if not rows:
        return f"None of the {len(runs)} runs has recorded an evaluation yet."
    splits = sorted({name for frame in rows for name in frame["split"].dropna()})
    if split not in splits:
        return f"split: no '{split}' in these runs.{did_you_mean(split, splits)}"
    measured = [m for m in MEASURES if any(f.loc[f["split"] == split, m].notna().any() for f in rows)]
    return f"metric: these runs have no values of '{metric}' on '{split}'.{did_you_mean(metric, measured)}"
