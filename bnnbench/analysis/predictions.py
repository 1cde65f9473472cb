"""The predictions that a run ends with: which of them counts, and its scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bnnbench.tasks.measures import MEASURES, Measure, measures_of

if TYPE_CHECKING:
    from bnnbench.store.frame import Columns, Run


def preferred(predictors: Collection[str]) -> str:
    """Return the predictor that counts among those recorded: the posterior mean, else the last iterate."""
    return "posterior" if "posterior" in predictors else "current"


def measures_in(runs: Iterable[Run]) -> dict[str, Measure]:
    """Return name → measure of all that `runs` may have recorded."""
    return {**MEASURES, **{name: m for run in runs for name, m in measures_of(run.manifest).items()}}


def measured(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names in `rows` that have a value in at least one of them."""
    return list(dict.fromkeys(name for row in rows for name in row if _has(row, name)))


def value_over_chains(rows: Iterable[Mapping[str, Any]], measure: str) -> float | None:
    """Return `measure` of the prediction pooled over chains where `rows` have one, else the mean over the chains.

    Args:
        rows: of one evaluation, split and predictor.
        measure: name of a column.

    Returns:
        None if no row has a value.
    """
    recorded = [row for row in rows if _has(row, measure)]
    values = [float(row[measure]) for row in [row for row in recorded if row["chain"] == "all"] or recorded]
    return sum(values) / len(values) if values else None


def final_rows(run: Run, split: str, predictor: str = "best") -> tuple[Columns, str]:
    """Return the rows of a run's last evaluation that a predictor means, one per repetition, and words for them.

    Args:
        run: finished, or as far as it came.
        split: of the evaluation.
        predictor: ``current``, ``posterior``; ``best``: the `preferred` one; ``per_chain``: as ``best`` but each chain
            by itself. Otherwise the prediction pooled over chains stands for them where there is one.
    """
    columns = run.columns
    taken = (columns["iteration"] == run.last_iteration) & (columns["split"] == split)
    if predictor == "per_chain":
        taken &= columns["chain"] != "all"
    chosen = predictor if predictor in ("current", "posterior") else preferred(set(columns["predictor"][taken]))
    taken &= columns["predictor"] == chosen
    pooled = taken & (columns["chain"] == "all")
    if chosen == "current":
        words = "last iterate"
    elif pooled.any():
        taken, words = pooled, f"{run.config.get('chains')} chains pooled"
    else:
        words = "posterior"
    return {name: cells[taken] for name, cells in columns.items()}, words


def last_scores(run: Run, predictor: str, split: str = "test") -> dict[str, float]:
    """Return the measures of the last evaluation of `predictor` on `split`, and its ``members``; {} if never evaluated.

    Args:
        run: finished, or as far as it came.
        predictor: ``current`` or ``posterior``; see `value_over_chains` for runs of several chains.
        split: of the evaluation.
    """
    columns = run.columns
    taken = (columns["split"] == split) & (columns["predictor"] == predictor)
    taken &= columns["iteration"] == columns["iteration"][taken].max(initial=0.0)
    names = ("members", *measures_of(run.manifest))
    cells = {name: columns[name][taken].tolist() for name in ("chain", *names)}
    records = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    values = {name: value_over_chains(records, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def final_scores(run: Run, split: str = "test") -> dict[str, float]:
    """Return `last_scores` of the `preferred` prediction."""
    return last_scores(run, "posterior", split) or last_scores(run, "current", split)


def _has(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return value is not None and value == value  # an empty cell is nan, unequal to itself
