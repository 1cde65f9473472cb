"""Equal numbers have equal hashes and unequal numbers unequal ones: as declared, and as runs come out."""

from __future__ import annotations

import copy
import csv
import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bnnbench.config.composition import choices, compose
from bnnbench.config.effect import effective, value_at, within, without_effect
from bnnbench.config.identity import folder_name, identity
from bnnbench.experiment.run import run
from bnnbench.store.frame import flatten

SAME = {
    "paths": ((), ("results=elsewhere", "name=other", "data.root=/data")),
    "the machine": ((), ("device=cpu", "threads=1", "checkpoint_every=1", "force=true", "eval.batch_size=7")),
    "words": ((), ("method.label=X", "model.label=X", "dataset.label=X", "+schedule.label=X", "method.reference=X")),
    "1 and 1.0": ((), ("prior.variance=1", "method.optimizer.temperature=1", "+method.layers.input={}")),
    "the origin of settings": ((), ("chosen={trial:3}",)),
    "a budget that is not used": ((), ("epochs=100", "batch_size=100", "dataset.budget.epochs=7")),
    "the source of a copy": ((), ("members.thin=7", "method.predictive.thin=null")),
    "temperature of an optimiser": (("method=sgd",), ("method=sgd", "temperature=1/N")),
    "members of an optimiser": (("method=sgd",), ("method=sgd", "members.burn_in=5", "members.weight=lr")),
    "noise of an optimiser": (("method=sgd",), ("method=sgd", "method.noise_on.biases=false")),
    "noise of torch's": (
        ("method=sgd", "method.optimizer.name=adagrad"),
        ("method=sgd", "method.optimizer.name=adagrad", "method.noise_on.biases=false"),
    ),
    "no noise at T = 0": (("temperature=0",), ("temperature=0.0", "method.noise_on.biases=false")),
    "no Γ at T = 0": (("temperature=0",), ("temperature=0", "method.optimizer.gamma=hutchinson")),
    "no KL": (("method=sgd",), ("method=sgd", "method.kl.scale=0.5")),
    "no KL of dropout": (("method=dropout",), ("method=dropout", "method.kl.scale=0.5", "method.kl.full_from=3")),
    "no KL of sampled dropout": (
        ("method=sgld", "method.layers.name=dropout"),
        ("method=sgld", "method.layers.name=dropout", "method.kl.scale=0.5"),
    ),
    "kl=none": (("method=vd", "method.layers.kl=none"), ("method=vd", "method.layers.kl=none", "method.kl.scale=2")),
    "warm-up to 0": (("method=vd", "method.kl.scale=0"), ("method=vd", "method.kl.scale=0", "method.kl.full_from=9")),
    "draws of the means": (("method=vd",), ("method=vd", "method.predictive.draws=3")),
    "mixture of a Gaussian": (
        ("method=bbb", "method.layers.prior=gaussian"),
        ("method=bbb", "method.layers.prior=gaussian", "method.layers.mixture=[0.25,1,0.1]"),
    ),
    "no BatchNorm": ((), ("method.bn_stats=frozen", "method.bn_refit_size=7")),
    "LayerNorm": (("method.norm=layer",), ("method.norm=layer", "method.bn_stats=batch")),
    "nothing refitted": (
        ("method.norm=batch", "method.bn_stats=running"),
        ("method.norm=batch", "method.bn_stats=running", "method.bn_refit_size=7"),
    ),
    "no normalisation": ((), ("prior.norm=false", "method.noise_on.norm=false")),
    "flat prior": (
        ("prior.name=flat",),
        ("prior.name=flat", "prior.variance=3", "prior.biases=false", "prior.norm=false"),
    ),
    "V without a weight decay": (
        ("prior.name=laplace",),
        ("prior.name=laplace", "method.optimizer.v_gradient=posterior"),
    ),
    "iterations in place of epochs": (("iterations=9",), ("iterations=9", "epochs=7")),
    "nothing held out": ((), ("dataset.valid_seed=3",)),
}
DIFFERENT = {
    "seed": ((), ("seed=1",)),
    "large seeds": ((f"seed={2**53}",), (f"seed={2**53 + 1}",)),
    "true and 1": (("+dataset.x=true",), ("+dataset.x=1",)),
    "a number and its word": (("+dataset.x='1'",), ("+dataset.x=1",)),
    "epochs": ((), ("epochs=7",)),
    "iterations": (("iterations=9",), ("iterations=8",)),
    "chains": ((), ("chains=2",)),
    "step size": ((), ("method.optimizer.lr=1e-3",)),
    "a copy": ((), ("members.thin=7",)),
    "temperature": ((), ("temperature=0.5",)),
    "variance": ((), ("prior.variance=2",)),
    "family of the prior": ((), ("prior.name=flat",)),
    "random biases": (
        ("method=bbb", "prior.name=flat"),
        ("method=bbb", "prior.name=flat", "prior.biases=false"),
    ),
    "bins": ((), ("eval.ece_bins=7",)),
    "what is recorded": ((), ("eval.every=7",)),
    "draws": (("method=mc_dropout",), ("method=mc_dropout", "method.predictive.draws=3")),
    "KL": (("method=vd",), ("method=vd", "method.kl.scale=0.5")),
    "KL of sampled layers": (
        ("method=sgld", "+method.layers={name:vd}"),
        ("method=sgld", "+method.layers={name:vd}", "method.kl.scale=0.5"),
    ),
    "KL of the first layer": (
        ("method=vd", "method.layers.kl=none", "+method.layers.input.kl=cubic"),
        ("method=vd", "method.layers.kl=none", "+method.layers.input.kl=cubic", "method.kl.scale=2"),
    ),
    "option of a layer": (("method=vd",), ("method=vd", "method.layers.alpha=0.4")),
    "noise": ((), ("method.noise_on.biases=false",)),
    "noise of a sampler under dropout": (
        ("method=dropout", "method.optimizer={name:sgld,lr:0.1}"),
        ("method=dropout", "method.optimizer={name:sgld,lr:0.1}", "method.noise_on.biases=false"),
    ),
    "BatchNorm": (("method=batchnorm_sgld",), ("method=batchnorm_sgld", "method.bn_stats=frozen")),
    "noise on BatchNorm": (("method=batchnorm_sgld",), ("method=batchnorm_sgld", "method.noise_on.norm=false")),
    "prior of LayerNorm": (("method.norm=layer",), ("method.norm=layer", "prior.norm=false")),
    "when an optimiser freezes": (
        ("method=sgd", "method.norm=batch", "method.bn_stats=frozen"),
        ("method=sgd", "method.norm=batch", "method.bn_stats=frozen", "members.burn_in=5"),
    ),
    "what is held out": (("dataset.valid=0.1",), ("dataset.valid=0.1", "dataset.valid_seed=3")),
    # Nothing is known of a plug-in that declares nothing.
    "a layer of the user's": (
        ("method=sgd", "method.layers.name=some.Layer"),
        ("method=sgd", "method.layers.name=some.Layer", "method.kl.scale=0.5"),
    ),
    "a sampler of the user's": (
        ("method=sgd", "method.optimizer.name=some.Rule"),
        ("method=sgd", "method.optimizer.name=some.Rule", "method.noise_on.biases=false"),
    ),
    "a network of the user's": (("model.name=some.net",), ("model.name=some.net", "method.bn_stats=batch")),
    "a KL in a network of the user's": (("model.name=some.net",), ("model.name=some.net", "method.kl.scale=0.5")),
}


@functools.cache
def composed(*overrides: str) -> dict[str, Any]:
    """Return the configuration of these overrides, which is not to be changed."""
    return compose(overrides)


@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
def test_settings_without_effect_make_no_other_run(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    one, other = composed(*first), composed(*second)
    assert repr(one) != repr(other)
    assert identity(one) == identity(other)


@pytest.mark.parametrize(("first", "second"), DIFFERENT.values(), ids=DIFFERENT)
def test_settings_with_an_effect_make_another_run(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert identity(composed(*first)) != identity(composed(*second))


def test_a_run_is_named_by_its_parts_and_its_identity() -> None:
    raw = compose(["method=sgd", "model.name=some.net"])
    assert folder_name(raw) == f"digits-net-sgd-{identity(raw)}"


# ---- as runs come out

TINY = (
    "model.widths=[4]",
    "iterations=6",
    "eval.every=3",
    "members.burn_in=2",
    "members.thin=2",
    "device=cpu",
    "threads=1",
)
# Another value of every setting that is without effect in one of the runs below. All are changed at once.
OTHERS = {
    "name": "other",
    "checkpoint_every": 0,
    "force": True,
    "data.root": None,  # as it is: nothing else is there to read
    "chosen": {"trial": 3},
    "dataset.label": "X",
    "model.label": "X",
    "method.label": "X",
    "method.reference": "X",
    "dataset.budget.epochs": 1,
    "dataset.budget.batch_size": 1,
    "dataset.budget.widths": [3],
    "dataset.budget.lr": 1,
    "dataset.valid_seed": 3,
    "temperature": 0.5,
    "random": "torch",
    "members.burn_in": 3,
    "members.thin": 1,
    "members.average": "log_probability",
    "members.weight": "lr",
    "epochs": 1,
    "prior.variance": 0.01,
    "prior.biases": False,
    "prior.norm": False,
    "method.kl.scale": 5.0,
    "method.kl.zero_until": 1,
    "method.kl.full_from": 2,
    "method.bn_stats": "batch",
    "method.bn_refit_size": 101,
    "method.noise_on.biases": False,
    "method.noise_on.norm": False,
    "method.predictive.draws": 3,
    "method.layers.mixture": [0.25, 1.0, 0.1],
    "method.optimizer.gamma": "hutchinson",
    "method.optimizer.v_gradient": "posterior",
}
# The same in law or but for the last digits; and where the test itself writes.
NOT_TO_THE_BIT = {"device", "threads", "eval.batch_size", "results"}
# In this they are like one of the others.
ALIKE = {"rmsprop", "mc_dropout", "gaussian_dropout", "vd_a", "vd_a2", "bbb_gaussian"}
RUNS = [
    *(
        pytest.param((f"method={method}",), marks=pytest.mark.slow if method in ALIKE else ())
        for method in choices("method")
    ),
    ("temperature=0",),
    ("method=sgld", "temperature=0", "method.norm=batch"),
    ("method=sgld", "method.layers.name=dropout", "+method.layers.keep=0.5"),
    ("prior.name=flat",),
    ("prior.name=laplace",),
    ("method=vd", "method.layers.kl=none"),
    ("method=vd", "method.kl.scale=0"),
    ("method=bbb", "method.layers.prior=gaussian"),
    ("method=bbb", "prior.name=flat"),
    ("method=sgd", "method.norm=batch", "method.bn_stats=frozen"),
    ("method=batchnorm_sgld", "method.bn_stats=frozen"),
    ("method=batchnorm_sgld", "method.bn_stats=running"),
    ("method=psgld", "method.norm=layer", "chains=2"),
]
WITH_EFFECT = [
    ((), "seed", 1),
    ((), "prior.variance", 0.01),
    (("method=sgld",), "random", "torch"),
    (("method=sgld",), "method.noise_on.biases", False),
    ((), "method.predictive.thin", 1),
    ((), "method.predictive.average", "log_probability"),
    (("method=sgld",), "eval.ece_bins", 3),
    (("method=vd",), "method.kl.scale", 5.0),
    (("method=sgld", "+method.layers={name:vd}"), "method.kl.scale", 5.0),
    (("method=vd", "method.layers.kl=none", "+method.layers.input.kl=cubic"), "method.kl.scale", 5.0),
    (("method=bbb",), "method.layers.mixture", [0.25, 1.0, 0.1]),
    (("method=bbb", "prior.name=flat"), "prior.biases", False),
    (("method=mc_dropout",), "method.predictive.draws", 3),
    (("method=batchnorm_sgld",), "method.bn_stats", "batch"),
    (("method=batchnorm_sgld",), "method.bn_refit_size", 101),
    (("method=batchnorm_sgld",), "method.noise_on.norm", False),
    (("method=batchnorm_sgld", "prior.variance=0.01"), "prior.norm", False),
    (("method=sgd", "method.norm=batch", "method.bn_stats=frozen"), "members.burn_in", 4),
    (("dataset.valid=0.1",), "dataset.valid_seed", 3),
]
Record = list[dict[str, str]]


@pytest.fixture
def record(digits_read_once: None, tmp_path: Path) -> Callable[[dict[str, Any]], Record]:
    """Return a function: configuration → the rows that its run leaves, without times; each in a folder of its own."""
    made: list[Path] = []

    def ran(raw: dict[str, Any]) -> Record:
        made.append(tmp_path / str(len(made)))
        folder = run({**raw, "results": str(made[-1])}, Console(file=io.StringIO()))
        with (folder / "metrics.csv").open() as file:
            return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in csv.DictReader(file)]

    return ran


def changed(raw: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return `raw` with other `values` by dotted key; the copies that other keys hold of them stay as they are."""
    raw = copy.deepcopy(raw)
    for key, value in values.items():
        section, _, last = key.rpartition(".")
        (value_at(raw, section) if section else raw)[last] = value
    return raw


@pytest.mark.parametrize("overrides", RUNS, ids=" ".join)
def test_what_is_without_effect_changes_no_number(
    overrides: tuple[str, ...], record: Callable[[dict[str, Any]], Record]
) -> None:
    raw = composed(*TINY, "device=cpu", "threads=1", *overrides)
    idle = [key for key in flatten(raw) if within(key, without_effect(raw)) and key not in NOT_TO_THE_BIT]
    other = changed(raw, {key: OTHERS[key] for key in idle})
    assert other != raw and effective(other) == effective(raw)
    assert record(other) == record(raw)


@pytest.mark.parametrize(("overrides", "key", "value"), WITH_EFFECT, ids=[" ".join([*o, k]) for o, k, _ in WITH_EFFECT])
def test_what_has_an_effect_changes_numbers(
    overrides: tuple[str, ...], key: str, value: Any, record: Callable[[dict[str, Any]], Record]
) -> None:
    raw = composed(*TINY, "device=cpu", "threads=1", *overrides)
    other = changed(raw, {key: value})
    assert identity(other) != identity(raw)
    assert record(other) != record(raw)
