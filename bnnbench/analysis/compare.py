"""`bnnbench compare`: groups of finished runs against the best of them, from their CSV and YAML files alone.

Where a mean is taken over repetitions, one repetition is one prediction that a run ends with: that of all its chains
pooled (``chain = all``) if the run recorded it for the chosen predictor, else that of each chain by itself, for the
chains of a run share nothing but their data. Repetitions of two groups make a pair if seed, chain and the dataset's
split agree; a pooled prediction takes the place of chain 0. Runs of one group that agree in all three, copies say, are
averaged first, so that they are no new evidence. Training seconds belong to a run, not to a chain. Splits of one
dataset share most of their data, so that standard errors over splits come out too small (Nadeau & Bengio 2003).

Each dataset is judged by itself. The best group has the best mean of the first metric. It is picked by the numbers
that it is then tested on, which makes the p-values a little too small when many groups are close.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from bnnbench.analysis.groups import Group, confounded, finer, mixed, resolve, split_up
from bnnbench.analysis.statistics import Difference, Mean, difference, holm, mean
from bnnbench.errors import BnnbenchError, did_you_mean
from bnnbench.store.frame import Run, flatten, read_runs

METRICS = ("error", "nll", "brier", "ece", "rmse", "auroc", "sparsity", "train_loss", "seconds")
MORE_IS_BETTER = ("auroc", "sparsity")
DEFAULT = ("error", "rmse", "nll", "ece", "seconds")  # those that a dataset has
PREDICTORS = ("best", "posterior", "current", "per_chain")

Unit = tuple[str, str, str]  # seed, split of the dataset, chain


@dataclass(frozen=True)
class Row:
    """One group.

    Attributes:
        key: the values of the --by keys, as words.
        prediction: what was judged: "posterior", "last iterate", "5 chains pooled".
        means: metric → mean over repetitions; a metric without values is missing.
        seeds: how many seeds.
        difference: from the best group in the first metric; None for the best itself.
    """

    key: tuple[str, ...]
    prediction: str
    means: dict[str, Mean]
    seeds: int
    difference: Difference | None = None


@dataclass(frozen=True)
class Table:
    """The groups of one dataset, the best first.

    Attributes:
        dataset: its label.
        split: the split that the scores are from.
        by: the resolved keys.
        metrics: the first is the one that groups are compared in.
        rows: one per group.
        mixed: keys other than the seed that differ within a group.
        finer: keys of groups without such a mixture.
        confounded: keys that differ between groups beside `by`.
        machines: devices and threads that the seconds are from, if they are asked for and several.
    """

    dataset: str
    split: str
    by: list[str]
    metrics: list[str]
    rows: list[Row]
    mixed: list[str]
    finer: list[str]
    confounded: list[str]
    machines: list[str]


@dataclass
class Comparison:
    """All tables, how many runs were left out for which reason, and what is wrong with the unreadable ones."""

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
        by: what tells the groups apart: ``method``, ``model``, or configuration keys such as ``method.optimizer.lr``.
        metrics: measures of metrics.csv or ``seconds`` (of training), the one to compare in first; by default error
            (regression: RMSE), NLL, ECE and seconds.
        split: ``test``, ``valid`` or the name of an out-of-distribution set.
        predictor: ``best`` (the posterior mean; the last iterate where a method has none), ``posterior``, ``current``
            (the last iterate), or ``per_chain`` (as ``best``, but of each chain by itself, never pooled).

    Raises:
        BnnbenchError: a name is unknown, no run is finished, or a metric has no values.
    """
    for what, given, allowed in (
        ("predictor", [predictor], PREDICTORS),
        ("metric", metrics or [], METRICS),
    ):
        for word in given:
            if word not in allowed:
                raise BnnbenchError(f"{what}: no '{word}'.{did_you_mean(word, allowed)}")
    runs, damage = read_runs(paths)
    finished = [run for run in runs if run.status == "finished"]
    left_out = Counter(run.status for run in runs if run.status != "finished")
    if damage:
        left_out["damaged"] = len(damage)
    if not finished:
        counts = ", ".join(f"{n} {status}" for status, n in left_out.items())
        raise BnnbenchError(f"None of these runs is finished ({counts}): there is nothing to compare yet.")
    keys = resolve(by, finished)
    splits = {name for run in finished for name in run.metrics["split"].unique()}
    if split not in splits:
        raise BnnbenchError(f"split: no '{split}' in these runs.{did_you_mean(split, splits)}")
    judged = [_judge(run, split, predictor, keys) for run in finished]
    measured = _measured(judged)
    if not measured:
        raise BnnbenchError(f"predictor: none of these runs has a '{predictor}' prediction of '{split}'.")
    for metric in metrics or []:
        if metric not in measured:
            hint = did_you_mean(metric, measured)
            raise BnnbenchError(f"metric: these runs have no values of '{metric}' on '{split}'.{hint}")
    tables = []
    for dataset in dict.fromkeys(run.name("dataset") for run in finished):
        table, without = _table([one for one in judged if one.run.name("dataset") == dataset], keys, metrics, split)
        tables += [table] if table else []
        if without:
            left_out[f"without {metrics[0] if metrics else 'scores'} of '{predictor}' on '{split}'"] += without
    if not tables:
        allowed = did_you_mean("", measured)
        raise BnnbenchError(f"metric: these runs have no error, RMSE, NLL or ECE on '{split}'.{allowed}")
    return Comparison(tables, left_out, damage)


@dataclass(frozen=True)
class _Judged:
    """A run and its last evaluation: metric → repetition → value."""

    run: Run
    prediction: str
    values: dict[str, dict[Unit, float]]


def _judge(run: Run, split: str, predictor: str, by: Sequence[str]) -> _Judged:
    rows, prediction = _last(run, split, predictor)
    seed = str(run.folder.name if run.seed is None else run.seed)  # without a seed each folder repeats by itself
    part = "" if "dataset.split" in by else str(flatten(run.config).get("dataset.split", ""))
    values: dict[str, dict[Unit, float]] = {}
    for metric in METRICS:
        if metric == "seconds":
            units = dict.fromkeys([(seed, part, "")][: len(rows)], float(rows["train_seconds"].max()))
        else:
            chains = ["0" if chain == "all" else str(chain) for chain in rows["chain"]]
            units = {(seed, part, c): float(v) for c, v in zip(chains, rows[metric], strict=True)}
        values[metric] = {unit: value for unit, value in units.items() if not math.isnan(value)}
    return _Judged(run, prediction, {metric: units for metric, units in values.items() if units})


def _last(run: Run, split: str, predictor: str) -> tuple[pd.DataFrame, str]:
    """Return the rows of the last evaluation that `predictor` means, one per repetition, and words for them."""
    rows = run.metrics[run.metrics["iteration"] == run.metrics["iteration"].max()]
    rows = rows[rows["split"] == split]
    if predictor == "per_chain":
        rows = rows[rows["chain"] != "all"]
    current, posterior = (rows[rows["predictor"] == word] for word in ("current", "posterior"))
    if predictor == "current" or (predictor != "posterior" and posterior.empty):
        return current, "last iterate"
    pooled = posterior[posterior["chain"] == "all"]
    if pooled.empty:
        return posterior, "posterior"
    return pooled, f"{run.config.get('chains')} chains pooled"


def _table(
    judged: Sequence[_Judged], by: list[str], wanted: Sequence[str] | None, split: str
) -> tuple[Table | None, int]:
    """Return the table of one dataset, None if the main metric has no values; and how many runs lack that metric."""
    measured = _measured(judged)
    metrics = list(dict.fromkeys(wanted or [metric for metric in DEFAULT if metric in measured]))
    main = metrics[0] if metrics else "seconds"
    if main not in measured or (not wanted and main == "seconds"):  # nothing but seconds is no score
        return None, len(judged)
    here = {one.run.folder: one for one in judged if main in one.values}
    groups = split_up([one.run for one in here.values()], by)
    values = [_collect([here[run.folder] for run in group.runs], metrics) for group in groups]
    rows = [
        Row(
            group.key,
            ", ".join(dict.fromkeys(here[run.folder].prediction for run in group.runs)),
            {metric: mean(list(mine[metric].values())) for metric in metrics if mine[metric]},
            len({unit[0] for unit in mine[main]}),
        )
        for group, mine in zip(groups, values, strict=True)
    ]
    sign = -1 if main in MORE_IS_BETTER else 1
    order = sorted(range(len(rows)), key=lambda i: sign * rows[i].means[main].value)
    best = values[order[0]][main]
    differences = [difference(values[i][main], best) for i in order[1:]]
    corrected = holm([d.p for d in differences])
    ranked = [rows[order[0]]]
    for i, d, p in zip(order[1:], differences, corrected, strict=True):
        ranked.append(replace(rows[i], difference=replace(d, p_holm=p)))
    found = Table(
        dataset=groups[0].runs[0].label("dataset"),
        split=split,
        by=by,
        metrics=metrics,
        rows=ranked,
        mixed=mixed(groups, by),
        finer=finer(groups, by),
        confounded=confounded(groups, by),
        machines=_machines(groups) if "seconds" in metrics else [],
    )
    return found, len(judged) - len(here)


def _collect(judged: Sequence[_Judged], metrics: Sequence[str]) -> dict[str, dict[Unit, float]]:
    """Return metric → repetition → value of one group, what agrees in all of a repetition averaged."""
    collected: dict[str, dict[Unit, float]] = {}
    for metric in metrics:
        several: dict[Unit, list[float]] = {}
        for one in judged:
            for unit, value in one.values.get(metric, {}).items():
                several.setdefault(unit, []).append(value)
        collected[metric] = {unit: sum(found) / len(found) for unit, found in several.items()}
    return collected


def _measured(judged: Iterable[_Judged]) -> list[str]:
    return list(dict.fromkeys(metric for one in judged for metric in one.values))


def _machines(groups: Sequence[Group]) -> list[str]:
    facts = [run.manifest for group in groups for run in group.runs]
    words = [
        f"{m.get('device_name')} with {m.get('threads')} thread{'s' * (m.get('threads') != 1)}"
        for m in facts
        if m.get("device_name")
    ]
    found = list(dict.fromkeys(words))
    return found if len(found) > 1 else []
