"""The one table of measures (names, words, units, directions), and the columns of metrics.csv.

Whatever shows, compares or optimises a measure reads this table: metrics.csv, `compare`, `plot`, `tune`, `ls`, the
progress line and TAB completion. A task may record measures of its own; its runs carry their description in
``manifest.json`` (``measures``), beside the name of the measure that the task is judged by (``score``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Origin = Literal["prediction", "ood", "weights", "training"]

KEYS = (
    "iteration",  # steps made
    "epoch",  # passes over the training split
    "grad_evals",  # backward passes over a minibatch, summed over the chains that the row covers
    "train_seconds",  # of training, evaluation not included
    "eval_seconds",  # of evaluation and recording
    "chain",  # 0…K−1, or all
    "split",  # valid, test, or the name of an out-of-distribution set
    "predictor",  # current: the last iterate; posterior: the mean over members or draws
    "members",  # networks averaged
)


@dataclass(frozen=True)
class Measure:
    """A measure and how it is shown.

    Attributes:
        name: column of metrics.csv.
        words: for axes and table heads.
        unit: of the value shown: ``%``, ``nats``, …; empty for a pure number.
        scale: value shown = `scale` × value stored; 100 for a fraction shown in per cent.
        decimals: of the value shown.
        more_is_better: None if the measure has no direction, as entropy.
        of: what it belongs to: a prediction on one split, a prediction on an out-of-distribution set, the weights, or
            the training. Weights and training have one value per chain, whatever predicts.
        root: the score is the root of the mean of what `bnnbench.tasks.base.Task.per_datum` returns, not the mean.
    """

    name: str
    words: str
    unit: str = ""
    scale: float = 1.0
    decimals: int = 4
    more_is_better: bool | None = None
    of: Origin = "prediction"
    root: bool = False

    @property
    def head(self) -> str:
        """Head of a table's column: "error %", "NLL"; nats go without saying."""
        return self.words if self.unit in ("", "nats") else f"{self.words} {self.unit}"

    @property
    def axis(self) -> str:
        """Label of an axis: "error (%)", "NLL (nats)", "Brier score"."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def of_chain(self) -> bool:
        """Whether each chain has one value, whatever predicts."""
        return self.of in ("weights", "training")

    def number(self, value: float) -> str:
        """Return a stored `value` as shown, without unit; 4 digits where fixed decimals would show none or too many."""
        shown = self.scale * value
        fixed = shown == 0 or 10**-self.decimals <= abs(shown) < 1e7
        return f"{shown:.{self.decimals}f}" if fixed else f"{shown:.4g}"

    def text(self, value: float) -> str:
        """Return a stored `value` as shown in running text: "2.31 %", "0.0713"."""
        return self.number(value) if self.unit in ("", "nats") else f"{self.number(value)} {self.unit}"


def _table(*measures: Measure) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}


MEASURES = _table(
    Measure("error", "error", "%", 100, 2, more_is_better=False),
    Measure("nll", "NLL", "nats", more_is_better=False),  # per datum
    Measure("brier", "Brier score", more_is_better=False),  # 0…2
    Measure("ece", "ECE", "%", 100, 2, more_is_better=False),
    Measure("entropy", "entropy", "nats"),
    Measure("mutual_information", "mutual information", "nats"),
    Measure("auroc", "AUROC", more_is_better=True, of="ood"),  # of the entropy as a score for "out of distribution"
    Measure("rmse", "RMSE", more_is_better=False, root=True),  # in the target's units
    # Mean loss as descended since the last evaluation: NLL + β KL/N per datum, no Gaussian prior.
    Measure("train_loss", "training loss", "nats", more_is_better=False, of="training"),
    Measure("kl", "KL", "nats", decimals=1, of="weights"),  # from prior to variational posterior, summed over weights
    Measure("lr", "step size", decimals=6, of="training"),  # of the last step
    Measure("sparsity", "sparsity", "%", 100, 2, more_is_better=True, of="weights"),  # weights dropped; no biases
)
COLUMNS = (*KEYS, *MEASURES)
SECONDS = Measure("seconds", "train", "s", decimals=1, more_is_better=False, of="training")  # train_seconds of a run
RANGES = {"error": (0, 1), "brier": (0, 2), "ece": (0, 1), "auroc": (0, 1), "rmse": (0, math.inf), "sparsity": (0, 1)}
BESIDE_THE_SCORE = ("nll", "ece")  # shown next to a task's main measure where nobody says which
# By task, on every split that has labels.
RECORDED = {"classification": ("error", "nll", "brier", "ece"), "regression": ("rmse", "nll")}


def judging(measures: Iterable[Measure]) -> list[Measure]:
    """Return those of `measures` by which predictions on a held-out split can be ranked."""
    return [measure for measure in measures if measure.of == "prediction" and measure.more_is_better is not None]


def measures_of(manifest: Mapping[str, Any]) -> dict[str, Measure]:
    """Return name → measure of the run with this `manifest`: the table, and what the run's task declares itself.

    ``manifest["measures"]`` is a list of mappings with the fields of `Measure`; `name` alone is required. Entries that
    are damaged, or named like a key column, are ignored.
    """
    declared = manifest.get("measures")
    own = [_declared(entry) for entry in declared] if isinstance(declared, list) else []
    return {**MEASURES, **_table(*(measure for measure in own if measure is not None))}


def main_measure(manifest: Mapping[str, Any], columns: Collection[str]) -> Measure:
    """Return the measure that the run's task is judged by.

    Args:
        manifest: of the run; its ``score`` names the measure. Runs recorded before tasks declared one have none.
        columns: measures with recorded values; without ``score`` they decide: error where recorded, else RMSE.
    """
    measures, score = measures_of(manifest), manifest.get("score")
    if isinstance(score, str) and score in measures:
        return measures[score]
    return measures["error" if "error" in columns else "rmse"]


def _declared(entry: object) -> Measure | None:
    """Return the measure that an entry of a manifest describes, None if it is damaged."""
    if not isinstance(entry, Mapping):
        return None
    given = {field.name: entry[field.name] for field in fields(Measure) if field.name in entry}
    name = given.get("name")
    if not isinstance(name, str) or not name or name in KEYS or name == SECONDS.name:
        return None
    measure = Measure(**{"words": name, **given})
    sound = (
        isinstance(measure.words, str)
        and isinstance(measure.unit, str)
        and type(measure.scale) in (int, float)
        and math.isfinite(measure.scale)
        and measure.scale > 0
        and type(measure.decimals) is int
        and 0 <= measure.decimals <= 17
        and (measure.more_is_better is None or isinstance(measure.more_is_better, bool))
        and measure.of in get_args(Origin)
        and isinstance(measure.root, bool)
    )
    return measure if sound else None
