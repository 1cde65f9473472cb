"""`bnnbench compare`: groups of finished runs against the best of them, from their CSV and YAML files alone.

Means are taken over repetitions. A repetition is one prediction that a run ends with: that of all its chains pooled
(``chain = all``) if the run recorded it for the chosen predictor, else that of each chain by itself, since the chains
of a run share nothing but their data. Repetitions of two groups make a pair if seed, chain and the dataset's split
agree; a pooled prediction takes the place of chain 0. Runs of one group that agree in all three, such as copies, are
averaged first and are no new evidence. Training seconds belong to a run, not to a chain. Splits of one dataset share
most of their data, so that standard errors over splits come out too small (Nadeau & Bengio 2003).

The interval over repetitions tells what other seeds would give on the same test data. Where the runs have kept the
scores of each test datum there is a second one, over these data: what other test data would give with the same
networks. It is left out where the pairs are of several test sets, which the first interval then covers.

Each dataset is judged by itself. The best group has the best mean of the first metric. It is selected by the numbers
that it is then tested on, which makes the p-values slightly too small when many groups are close.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bnnbench.analysis.groups import Group, confounded, mixed, resolve_keys, split_up
from bnnbench.analysis.predictions import final_rows, measures_in
from bnnbench.analysis.statistics import Difference, Mean, by_repetition, difference, holm, interval_over_data, mean
from bnnbench.errors import BnnbenchError, did_you_mean
from bnnbench.store import per_datum, sources
from bnnbench.store.frame import Run, read_runs
from bnnbench.tasks.measures import BESIDE_THE_SCORE, SECONDS, Measure, main_measure, measures_of

PREDICTORS = ("best", "posterior", "current", "per_chain")

# Settings of a dataset that leave its test set alone; the name is the same within a table.
TRAINING = ("name", "label", "divide", "center", "valid", "valid_seed", "standardise_target")
UNIT = ("seed", "split", "chain")  # of a repetition; split of the dataset, which may be made several times
Unit = tuple[str, str, str]


@dataclass(frozen=True)
class GroupScores:
    """The scores of one group.

    Attributes:
        key: the values of the --by keys, as words.
        prediction: the prediction that was scored: "posterior", "last iterate", "5 chains pooled".
        means: metric → mean over repetitions; a metric without values is missing.
        seeds: number of seeds.
        difference: from the first group in the first metric; None for the first group itself.
    """

    key: tuple[str, ...]
    prediction: str
    means: dict[str, Mean]
    seeds: int
    difference: Difference | None = None


@dataclass(frozen=True)
class Table:
    """The groups of one dataset, the best first; the lowest first if the main metric has no direction.

    Attributes:
        dataset: label of the dataset.
        split: split that the scores are from.
        by: the resolved keys.
        metrics: names; the groups are ordered and compared by the first.
        measures: name → how to show it, for all `metrics`.
        rows: one per group.
        added: those of `by` that nobody asked for, but in which runs differ that would otherwise be averaged.
        confounded: keys that differ between groups beside `by`.
        machines: devices and threads behind the seconds, if seconds are shown and come from several.
    """

    dataset: str
    split: str
    by: list[str]
    metrics: list[str]
    measures: dict[str, Measure]
    rows: list[GroupScores]
    added: list[str]
    confounded: list[str]
    machines: list[str]

    @property
    def first(self) -> str:
        """Word for the group that the others are compared with."""
        return "lowest" if self.measures[self.metrics[0]].more_is_better is None else "best"


@dataclass
class Comparison:
    """All tables, the number of runs left out by reason, and the damage of unreadable ones."""

    tables: list[Table]
    left_out: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)


def compare(
    paths: Sequence[str | Path] | str | Path,
    *,
    by: Sequence[str] = ("method",),
    metrics: Sequence[str] | None = None,
    split: str = "test",
    predictor: str = "best",
) -> Comparison:
    """Return means, standard errors and paired differences of the finished runs at or below `paths`.

    Args:
        paths: folders of runs, folders above them, or metrics.csv files.
        by: settings that define the groups: ``method``, ``model``, or configuration keys such as
            ``method.optimizer.lr``. Groups whose runs differ in more than seed and split are split by that too.
        metrics: measures of metrics.csv, those that a run's own task declares, or ``seconds`` (of training). The groups
            are compared in the first. Default: the task's score (error, RMSE), NLL, ECE and seconds.
        split: ``test``, ``valid`` or the name of an out-of-distribution set.
        predictor: ``best`` (the posterior mean; the last iterate where a method has none), ``posterior``, ``current``
            (the last iterate), or ``per_chain`` (as ``best``, but each chain by itself, never pooled).

    Raises:
        BnnbenchError: a name is unknown, no run is finished, or a metric has no values.
    """
    if predictor not in PREDICTORS:
        raise BnnbenchError(f"predictor: no '{predictor}'.{did_you_mean(predictor, PREDICTORS)}")
    runs, damage = read_runs(paths)
    measures = {**measures_in(runs), SECONDS.name: SECONDS}
    for metric in metrics or []:
        if metric not in measures:
            raise BnnbenchError(f"metric: no '{metric}'.{did_you_mean(metric, measures)}")
    finished = [run for run in runs if run.finished]
    left_out = Counter(run.status for run in runs if not run.finished)
    if damage:
        left_out["damaged"] = len(damage)
    if not finished:
        counts = ", ".join(f"{n} {status}" for status, n in left_out.items())
        raise BnnbenchError(f"None of these runs is finished ({counts}): nothing to compare yet.")
    keys = resolve_keys(by, finished)
    splits = {name for run in finished for name in run.columns["split"]}
    if split not in splits:
        raise BnnbenchError(f"split: no '{split}' in these runs.{did_you_mean(split, splits)}")
    scored = [_final_scores(run, split, predictor, keys) for run in finished]
    measured = _measured(scored)
    if not measured:
        raise BnnbenchError(f"predictor: none of these runs has a '{predictor}' prediction of '{split}'.")
    for metric in metrics or []:
        if metric not in measured:
            hint = did_you_mean(metric, measured)
            raise BnnbenchError(f"metric: these runs have no values of '{metric}' on '{split}'.{hint}")
    tables = []
    for dataset in dict.fromkeys(run.name("dataset") for run in finished):
        those = [one for one in scored if one.run.name("dataset") == dataset]
        table, without = _table(those, keys, metrics, split, measures)
        tables += [table] if table else []
        if without:
            left_out[f"without {metrics[0] if metrics else 'scores'} of '{predictor}' on '{split}'"] += without
    if not tables:
        allowed = did_you_mean("", measured)
        raise BnnbenchError(f"metric: these runs have no score, NLL or ECE on '{split}'.{allowed}")
    return Comparison(tables, left_out, damage)


@dataclass(frozen=True)
class _Scores:
    """A run and its last evaluation: metric → repetition → value."""

    run: Run
    prediction: str
    values: dict[str, dict[Unit, float]]
    part: str  # the dataset's split
    predictor: str  # as per_datum.npz names it

    @property
    def test_set(self) -> str:
        """The settings, and the digest of the files, that say which data are the test data."""
        settings = {k: v for k, v in self.run.settings.items() if k.startswith("dataset.")}
        kept = sorted((k, repr(v)) for k, v in settings.items() if k.split(".")[1] not in (*TRAINING, "budget"))
        return repr((kept, sources.digest(self.run.manifest, data_alone=True)))

    def per_datum(self, split: str, metric: str) -> dict[Unit, np.ndarray]:
        """Return repetition → the contribution of each datum of `split` to `metric`; {} if the run did not keep it."""
        found = per_datum.read(self.run.folder, split, self.predictor, metric)
        units = self.values.get(metric, {})
        kept = {_unit(self.run, self.part, chain): values for chain, values in found.items()}
        if "all" in found:  # it takes the place of chain 0
            kept[_unit(self.run, self.part, "all")] = found["all"]
        return {unit: kept[unit] for unit in units if unit in kept}


def _unit(run: Run, part: str, chain: object) -> Unit:
    """Return the repetition that a chain of `run` is; without a seed each folder repeats by itself."""
    return str(run.folder.name if run.seed is None else run.seed), part, "0" if chain == "all" else str(chain)


def _final_scores(run: Run, split: str, predictor: str, by: Sequence[str]) -> _Scores:
    rows, prediction = final_rows(run, split, predictor)
    last, _ = final_rows(run, split, "current")
    part = "" if "dataset.split" in by else str(run.settings.get("dataset.split", ""))
    values: dict[str, dict[Unit, float]] = {}
    for name, measure in measures_of(run.manifest).items():
        # Of the weights a run records one value per chain, whatever predicts.
        of = last if measure.of_chain and np.isnan(rows[name]).all() else rows
        units = {_unit(run, part, chain): value for chain, value in zip(of["chain"], of[name].tolist(), strict=True)}
        values[name] = {unit: value for unit, value in units.items() if not math.isnan(value)}
    seconds = [value for value in rows["train_seconds"].tolist() if not math.isnan(value)]
    if seconds:
        values[SECONDS.name] = {_unit(run, part, ""): max(seconds)}
    measured = {name: units for name, units in values.items() if units}
    return _Scores(run, prediction, measured, part, "current" if prediction == "last iterate" else "posterior")


def _table(
    scored: Sequence[_Scores],
    by: list[str],
    wanted: Sequence[str] | None,
    split: str,
    measures: Mapping[str, Measure],
) -> tuple[Table | None, int]:
    """Return the table of one dataset, None if the main metric has no values; and how many runs lack that metric."""
    measured = _measured(scored)
    default = [main_measure(scored[0].run.manifest, measured).name, *BESIDE_THE_SCORE, SECONDS.name]
    metrics = list(dict.fromkeys(wanted or [metric for metric in default if metric in measured]))
    main = metrics[0] if metrics else SECONDS.name
    if main not in measured or (not wanted and main == SECONDS.name):  # seconds alone are no score
        return None, len(scored)
    with_main = {one.run.folder: one for one in scored if main in one.values}
    compared = [one.run for one in with_main.values()]
    groups = split_up(compared, by)
    added = mixed(groups, by)
    if added:  # a mean over experiments that differ would be none of theirs
        by = [*by, *added]
        groups = split_up(compared, by)
    values = [_collect([with_main[run.folder] for run in group.runs], metrics) for group in groups]
    rows = [
        GroupScores(
            group.key,
            ", ".join(dict.fromkeys(with_main[run.folder].prediction for run in group.runs)),
            {metric: mean(repeated[metric]) for metric in metrics if len(repeated[metric])},
            repeated[main].index.get_level_values("seed").nunique(),
        )
        for group, repeated in zip(groups, values, strict=True)
    ]
    sign = -1 if measures[main].more_is_better else 1
    order = sorted(range(len(rows)), key=lambda i: sign * rows[i].means[main].value)
    best = values[order[0]][main].to_dict()
    differences = [difference(values[i][main].to_dict(), best) for i in order[1:]]
    corrected = holm([d.p for d in differences])
    if len({one.test_set for one in with_main.values()}) == 1:
        data = _Data(measures[main], split)
        kept = [data.of([with_main[run.folder] for run in groups[i].runs]) for i in order]
        differences = [data.interval(d, x, kept[0]) for d, x in zip(differences, kept[1:], strict=True)]
    ranked = [rows[order[0]]]
    for i, d, p in zip(order[1:], differences, corrected, strict=True):
        ranked.append(replace(rows[i], difference=replace(d, p_holm=p)))
    table = Table(
        dataset=groups[0].runs[0].label("dataset"),
        split=split,
        by=by,
        metrics=metrics,
        measures={metric: measures[metric] for metric in metrics},
        rows=ranked,
        added=added,
        confounded=confounded(groups, by),
        machines=_machines(groups) if SECONDS.name in metrics else [],
    )
    return table, len(scored) - len(with_main)


@dataclass(frozen=True)
class _Data:
    """The scores of each datum of a split in one measure."""

    measure: Measure
    split: str

    def of(self, scored: Sequence[_Scores]) -> dict[Unit, np.ndarray]:
        """Return repetition → values [N] of one group; those of copies are averaged."""
        kept: dict[Unit, list[np.ndarray]] = {}
        for one in scored:
            for unit, values in one.per_datum(self.split, self.measure.name).items():
                kept.setdefault(unit, []).append(values)
        alike = {unit: arrays for unit, arrays in kept.items() if len({len(values) for values in arrays}) == 1}
        return {unit: np.mean(arrays, axis=0) for unit, arrays in alike.items()}

    def interval(self, d: Difference, x: Mapping[Unit, np.ndarray], y: Mapping[Unit, np.ndarray]) -> Difference:
        """Return `d` with the interval over the data, if all its pairs have kept theirs."""
        pairs = [(x[unit], y[unit]) for unit in x if unit in y]
        sizes = {len(values) for pair in pairs for values in pair}
        if not pairs or len(pairs) != d.pairs or len(sizes) != 1:
            return d
        found = interval_over_data(pairs, self.measure.root)
        return d if found is None else replace(d, data=sizes.pop(), data_low=found[0], data_high=found[1])


def _collect(scored: Sequence[_Scores], metrics: Sequence[str]) -> dict[str, pd.Series]:
    """Return metric → repetition → value of one group."""
    collected = {}
    for metric in metrics:
        units = [unit for one in scored for unit in one.values.get(metric, ())]
        values = [value for one in scored for value in one.values.get(metric, {}).values()]
        index = pd.MultiIndex.from_arrays(list(zip(*units, strict=True)) or [()] * len(UNIT), names=UNIT)
        collected[metric] = by_repetition(pd.Series(values, index, dtype=float))
    return collected


def _measured(scored: Iterable[_Scores]) -> list[str]:
    return list(dict.fromkeys(metric for one in scored for metric in one.values))


def _machines(groups: Sequence[Group]) -> list[str]:
    facts = [run.manifest for group in groups for run in group.runs]
    words = [
        f"{m.get('device_name')} with {m.get('threads')} {'thread' if m.get('threads') == 1 else 'threads'}"
        for m in facts
        if m.get("device_name")
    ]
    distinct = list(dict.fromkeys(words))
    return distinct if len(distinct) > 1 else []
