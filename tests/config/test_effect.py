"""What a plug-in declares beside its file is true of its class, and what the user declares is read."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from bnnbench.config import effect
from bnnbench.config.composition import choices, compose
from bnnbench.config.effect import PLUGINS, effective, value_at, within, without_effect
from bnnbench.config.plugins import PACKAGE, names
from bnnbench.errors import ConfigError
from bnnbench.inference.method import TORCH_RULES, injects_noise, optimizer_class
from bnnbench.layers.base import StochasticLayer
from bnnbench.layers.from_config import DETERMINISTIC, find_layer, layer_names
from bnnbench.layers.normalisation import NORMS
from bnnbench.models import build_network
from bnnbench.store.frame import flatten

CONFIG = effect._of_config()


def facts(room: str, name: str) -> dict[str, Any]:
    return dict(effect._of_plugin(room, name).facts)


@pytest.mark.parametrize("name", [n for n in layer_names() if facts("layers", n)])
def test_facts_of_layers(name: str) -> None:
    make = nn.Identity if name == DETERMINISTIC else find_layer(name)
    assert facts("layers", name) == {
        "kl": callable(getattr(make, "kl", None)),
        "norm": any(isinstance(m, NORMS) for m in make(nn.Linear(1, 1)).modules()),
        "random_bias": "random_bias" in inspect.signature(make).parameters,
        "draws": issubclass(make, StochasticLayer),
    }


@pytest.mark.parametrize("name", [*TORCH_RULES, *names("samplers")])
def test_facts_of_update_rules(name: str) -> None:
    assert facts("samplers", name).get("injects_noise", True) == injects_noise(optimizer_class(name))


@pytest.mark.parametrize("name", [n for n in names("models") if facts("models", n)])
def test_facts_of_models(name: str) -> None:
    settings = next(raw["model"] for raw in map(_with_model, choices("model")) if raw["model"]["name"] == name)
    modules = list(build_network(settings, (1, 28, 28), 10).modules())
    assert facts("models", name) == {
        "norm": any(isinstance(m, NORMS) for m in modules),
        "kl": any(callable(getattr(m, "kl", None)) for m in modules),
        "draws": any(isinstance(m, StochasticLayer) for m in modules),
    }


def _with_model(choice: str) -> dict[str, Any]:
    return compose([f"model={choice}"])


def test_a_declaration_speaks_of_settings_and_facts_that_there_are() -> None:
    """A typing error in one would make a setting count, or never count, and nobody would notice."""
    files = [effect._read(file) for file in sorted(PACKAGE.rglob("*.effect.yaml"))]
    known = {key for method in ("psgld", "bbb", "vd") for key in flatten(compose([f"method={method}"]))}
    known |= {"schedule.label", "chosen", "method.layers.kl_samples", "method.layers.prior_std"}
    known |= {"method.layers.input", "method.layers.input.kl", "method.layers.input.prior"}
    kinds = {room: kind for kind, room, _ in PLUGINS}
    for file in PACKAGE.rglob("*.effect.yaml"):
        known |= {f"facts.{kinds[file.parent.name]}.{fact}" for fact in effect._read(file).facts}
    for declaration in (CONFIG, *files):
        for key, when in declaration.without_effect.items():
            conditions = [] if isinstance(when, str) else when if isinstance(when, list) else [when]
            for used in (key, *(other for condition in conditions for other in condition)):
                assert any(within(there, [used]) for there in known), used


def test_sections_that_are_emptied_are_left_out_and_those_that_are_empty_stay() -> None:
    raw = compose(["method=sgd"])
    assert "members" not in effective(raw) and "data" not in effective(raw)
    assert effective(raw)["method"]["layers"]["input"] == {}


def test_a_run_that_is_older_than_a_setting_without_effect_is_the_same_run() -> None:
    new = compose(["method=sgd"])
    old = {**new, "method": {k: v for k, v in new["method"].items() if k not in ("bn_refit_size", "noise_on", "kl")}}
    old.pop("chosen")
    assert effective(old) == effective(new)


def test_what_a_plugin_of_the_users_declares_beside_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    rules = "{method.optimizer.verbose: always, method.optimizer.beta: {method.optimizer.kind: [null, plain]}}"
    (tmp_path / "mine" / "rule.effect.yaml").write_text(f"facts: {{injects_noise: false}}\nwithout_effect: {rules}")
    monkeypatch.chdir(tmp_path)
    for name in ("mine.rule", "mine.rule.Rule"):
        raw = compose(["method=sgd", f"method.optimizer.name={name}"])
        assert {"method.noise_on", "method.optimizer.verbose", "method.optimizer.beta"} <= without_effect(raw)
        raw["method"]["optimizer"]["kind"] = "other"
        assert "method.optimizer.beta" not in without_effect(raw)
    assert "method.noise_on" not in without_effect(compose(["method=sgd", "method.optimizer.name=mine.other"]))


@pytest.mark.parametrize(
    "text", ["", "- a", "other: {a: always}", "without_effect: {a: seldom}", "without_effect: {a: {}}"]
)
def test_what_is_no_declaration_is_refused_in_one_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rule.effect.yaml").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"rule\.effect\.yaml: not a declaration") as caught:
        without_effect(compose(["method=sgd", "method.optimizer.name=rule.Rule"]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, "../x", "a/b", "..", "a..b", ""])
def test_a_name_that_is_none_declares_nothing(name: Any) -> None:
    assert effect._of_plugin("samplers", name) == effect.Declaration()


@pytest.mark.parametrize(
    ("wanted", "value", "holds"),
    [
        (0, 0.0, True),
        (0, False, False),
        (0, None, False),
        (None, None, True),
        ([1, None], None, True),
        ({"not": None}, 3, True),
        ({"not": None}, None, False),
        ({"not": [1, 2]}, 2, False),
    ],
)
def test_conditions(wanted: Any, value: Any, holds: bool) -> None:
    assert effect._holds({"a.b": wanted}, {"a": {"b": value}}) == holds
    assert value_at({"a": {"b": value}}, "a.b") == value
