"""Keys that were called otherwise are accepted wherever they stand, and the new word is named once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bnnbench.config import renamed
from bnnbench.config.composition import compose
from bnnbench.config.renamed import RENAMED, current_config, current_key, current_overrides
from bnnbench.errors import ConfigError


@pytest.fixture(autouse=True)
def said_anew() -> Iterator[None]:
    renamed._told.clear()
    yield
    renamed._told.clear()


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("method=sgld method.update.lr=0.25", "method.optimizer.lr", 0.25),
        ("method=sgld +method.update.extra=1", "method.optimizer.extra", 1),
        ("method=sgld method.noise.biases=false", "method.noise_on.biases", False),
        ("method=dropout method.layers.p=0.75", "method.layers.keep", 0.75),
        ("method=dropout +method.layers.p=0.75", "method.layers.keep", 0.75),
        ("method=gaussian_dropout method.layers.input.p=0.75", "method.layers.input.keep", 0.75),
        ("method=vd method.layers.noise=A method.layers.per=layer", "method.layers.kind", "A"),
        ("schedule=polynomial schedule.gamma=0.75", "schedule.power", 0.75),
    ],
)
def test_an_old_word_sets_the_new_key_and_is_answered_in_a_line(
    old: str, new: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    node = compose(old.split())
    for part in new.split("."):
        node = node[part]
    assert node == value
    (line,) = capsys.readouterr().err.splitlines()
    assert (line.startswith("note: ") and " is called method." in line) or " is called schedule." in line
    assert new.startswith(line.partition(" is called ")[2].removesuffix(" now"))


def test_every_renamed_key_is_the_present_one_or_gone() -> None:
    for entry in RENAMED:
        assert current_key(entry.old) == entry.new == current_key(entry.new)


def test_present_words_are_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    compose(["method=dropout", "method.layers.keep=0.75"])
    assert capsys.readouterr().err == ""


def test_an_option_of_another_layer_may_have_an_old_name(capsys: pytest.CaptureFixture[str]) -> None:
    raw = compose(["method=sgld", "method.layers.name=theirs.Layer", "+method.layers.p=0.5"])
    assert raw["method"]["layers"]["p"] == 0.5 and capsys.readouterr().err == ""


def test_a_mistake_beside_an_old_word_is_answered_in_present_words() -> None:
    with pytest.raises(ConfigError, match=r"method\.optimizer\.alpa: no such key. Did you mean 'alpha'"):
        compose(["method=psgld", "method.update.alpa=3"])
    with pytest.raises(ConfigError, match=r"method\.layers\.p: no such key"):
        compose(["method=sgld", "method.layers.p=0.5"])


def test_a_yaml_of_the_user_in_old_words_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text(
        "name: mine\nlabel: Mine\nupdate: {name: sgld, lr: 0.5}\npredictive: {name: point}\n"
    )
    raw = compose(["method=mine"], [tmp_path])
    assert raw["method"]["optimizer"] == {"name": "sgld", "lr": 0.5} and "update" not in raw["method"]
    assert capsys.readouterr().err == "note: method.update is called method.optimizer now\n"


def test_signs_and_values_stay_as_they_are() -> None:
    given = ["~method.update.momentum", "++method.update.x={a: method.update.lr}", "seed=1"]
    assert current_overrides(given) == [
        "~method.optimizer.momentum",
        "++method.optimizer.x={a: method.update.lr}",
        "seed=1",
    ]


def test_the_old_value_holds_where_both_are_there_and_the_given_mapping_stays() -> None:
    raw = {"method": {"update": {"lr": 1}, "optimizer": {"lr": 2, "name": "sgd"}}}
    assert current_config(raw)["method"] == {"optimizer": {"lr": 1, "name": "sgd"}}
    assert raw["method"]["update"] == {"lr": 1}
