"""By which settings recorded runs are told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bnnbench.analysis.settings import differing, telling
from bnnbench.store.frame import load_runs

PUBLISHED = Path(__file__).resolve().parents[1] / "results" / "published"
Compose = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("first", "second", "keys"),
    [
        ((), ("seed=1", "name=x", "device=cpu", "method.reference=x"), []),
        ((), ("method.label=X",), ["method.label"]),
        ((), ("eval.ece_bins=7",), ["eval.ece_bins"]),  # another measure
        ((), ("random=torch",), ["random"]),  # the same seeds are other repetitions
        (("method=sgd",), ("method=sgd", "random=torch"), []),
        (("iterations=50",), ("iterations=60", "epochs=3"), ["iterations"]),
        ((), ("iterations=50",), ["iterations"]),  # epochs has an effect in one of them alone
        ((), ("prior.name=flat",), ["prior.name"]),
        ((), ("members.thin=7",), ["method.predictive.thin"]),
        (("method=sgd",), ("method=sgd", "method.kl.scale=3", "method.noise_on.biases=false", "temperature=0.5"), []),
        (
            ("method=vd",),
            ("method=vd", "method.layers.name=gaussian_dropout", "method.kl.scale=3"),
            ["method.layers.name"],
        ),
        (("method=vd",), ("method=vd", "method.kl.scale=3"), ["method.kl.scale"]),
    ],
)
def test_runs_differ_by_settings_that_have_an_effect_in_several_of_them(
    first: tuple[str, ...], second: tuple[str, ...], keys: list[str], compose: Compose
) -> None:
    configs = [compose(*first), compose(*second)]
    assert differing(configs) == keys
    assert differing(configs, without=keys) == []


def test_an_older_run_differs_by_a_setting_that_it_lacks_only_if_that_has_an_effect(compose: Compose) -> None:
    new, old = compose("method=sgd"), compose("method=sgd")
    del old["method"]["noise_on"], old["method"]["bn_refit_size"], old["chosen"], old["checkpoint_every"]
    assert differing([old, new]) == [] and telling(old) == telling(new)
    del old["shuffle"]
    assert differing([old, new]) == ["shuffle"]


def test_a_published_run_differs_from_the_same_run_of_today_by_nothing(compose: Compose) -> None:
    (old,) = load_runs(next((PUBLISHED / "psgld_mnist" / "psgld_mnist").glob("*-sgd-*")))
    new = compose("experiment=psgld_mnist", "method=sgd", *(f"{key}={old.config[key]}" for key in ("epochs", "chains")))
    new["method"]["optimizer"] = old.config["method"]["optimizer"]
    assert differing([old.config, new]) == []
