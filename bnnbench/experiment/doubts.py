"""What is said of a run whose numbers deserve a doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bnnbench.experiment.assembly import Parts
from bnnbench.experiment.evaluation import Row
from bnnbench.tasks.base import PerDatum

FEW = 10  # members of a posterior mean
ALIKE = 1e-3  # [nats per datum] between the last iterate's NLL and the posterior mean's


def doubts(parts: Parts, rows: Sequence[Row], per_datum: Mapping[tuple[str, str, str], PerDatum]) -> list[str]:
    """Return a line for each reason to doubt the result, with its numbers.

    Args:
        parts: of the run.
        rows: of the last evaluation.
        per_datum: of the last evaluation; see `bnnbench.experiment.evaluation.Evaluator`.
    """
    found = [_constant(parts, rows)]
    if parts.approximation.takes_iterates:
        found += [_few(rows), _alike(parts, per_datum)]
    return [line for line in found if line is not None]


def tiny_inputs(parts: Parts) -> list[str]:
    """Return a line where inputs are tiny after a division, which another dataset's yaml may have asked for."""
    divide = float(parts.config.dataset.get("divide", 1))
    largest = parts.data.train.x.abs().max().item()
    if divide == 1 or largest >= 0.5:
        return []
    return [
        f"dataset.divide={divide:g}: inputs of {parts.config.dataset['name']} are at most {largest:.2g} after it. "
        "Take dataset.divide=1, or dataset.center=standardise"
    ]


def _few(rows: Sequence[Row]) -> str | None:
    members = max((int(row["members"]) for row in rows if row["predictor"] == "posterior"), default=FEW)
    if members >= FEW:
        return None
    return (
        f"the posterior mean is over {members} member{'s' * (members != 1)}, too few to tell the posterior's spread. "
        "A smaller members.thin or members.burn_in, or a longer run, gives more"
    )


def _alike(parts: Parts, per_datum: Mapping[tuple[str, str, str], PerDatum]) -> str | None:
    last, mean = (per_datum.get((_split(parts), which, "0"), {}).get("nll") for which in ("current", "posterior"))
    if last is None or mean is None:
        return None
    gap = (last - mean).abs().mean().item()
    if not gap < ALIKE:
        return None
    return (
        f"the members hardly differ: the NLL of the last one and of their mean differ by {gap:.2g} nats per datum. "
        "The chain has moved little; take a larger step size, a longer run or T = 1"
    )


def _constant(parts: Parts, rows: Sequence[Row]) -> str | None:
    split, task = _split(parts), parts.task
    constant = task.constant_score(parts.data.train.y, parts.data.evaluation[split].y)
    measure = next(measure for measure in task.recorded if measure.name == task.score)
    of = [row for row in rows if row["split"] == split and row.get(task.score) is not None]
    posterior = [row for row in of if row["predictor"] == "posterior"]
    if constant is None or not of or measure.more_is_better is None:
        return None
    value = sum(float(row[task.score]) for row in posterior or of) / len(posterior or of)
    if not (value < constant if measure.more_is_better else value > constant):
        return None
    return (
        f"{split} {measure.words} {measure.text(value)}: the best constant prediction has {measure.text(constant)}. "
        "Nothing was learned; look at method.optimizer.lr, prior.variance and dataset.divide"
    )


def _split(parts: Parts) -> str:
    """Return the split that a run is judged on."""
    return "test" if "test" in parts.evaluator.splits else next(iter(parts.evaluator.splits))
