"""Burn-in, thinning and the interval of evaluations: fractions of the run, unless given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.configurations import composed
from support.records import manifest_of, table

from bnnbench.config.composition import choices
from bnnbench.config.schema import parse
from bnnbench.experiment.lengths import with_lengths

Run = Callable[..., Path]


def lengths(*overrides: str, iterations: int) -> tuple[Any, ...]:
    config = with_lengths(parse(composed("method=sgld", *overrides)), iterations)
    predictive = config.method.predictive
    assert (predictive["burn_in"], predictive["thin"]) == (config.members.burn_in, config.members.thin)
    return config.members.burn_in, config.members.thin, config.eval.every


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        (1400, (280, 35, 35)),
        (12_000, (2400, 300, 300)),
        (40, (8, 1, 1)),
        (14, (3, 1, 1)),
        (3, (2, 1, 1)),
        (1, (0, 1, 1)),
    ],
)
def test_what_is_not_given_is_a_fraction_that_leaves_a_member(iterations: int, expected: tuple[int, ...]) -> None:
    burn_in, thin, every = lengths(iterations=iterations)
    assert (burn_in, thin, every) == expected
    assert burn_in + thin <= iterations


def test_what_is_given_counts() -> None:
    assert lengths("members.burn_in=7", iterations=1400) == (7, 35, 35)
    assert lengths("eval.every=100", iterations=1400) == (280, 100, 100)
    assert lengths("members.thin=3", iterations=1400) == (280, 3, 35)
    assert lengths("members.burn_in=1390", iterations=1400) == (1390, 10, 35)  # a thinning that leaves a member
    raw = composed("method=sgld", "+dataset.budget.burn_in=30", "+dataset.budget.eval_every=20")  # a user's yaml
    config = with_lengths(parse(raw), 1400)
    assert (config.members.burn_in, config.members.thin, config.eval.every) == (30, 20, 20)


@pytest.mark.parametrize("method", choices("method"))
def test_one_epoch_of_any_method_is_a_run(method: str, run_small: Run) -> None:
    words = ("epochs=1", "members.burn_in=null", "eval.every=null")
    folder = run_small(f"method={method}", *words)
    manifest = manifest_of(folder)
    assert manifest["status"] == "finished"
    assert (manifest["iterations"], manifest["burn_in"], manifest["thin"], manifest["eval_every"]) == (14, 3, 1, 1)
    assert len({row["iteration"] for row in table(folder)}) == 14
