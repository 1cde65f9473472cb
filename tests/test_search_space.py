"""What is searched over, as typed in Hydra's grammar, and the trials that are drawn from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'bnnbench[tune]'")

from bnnbench.errors import BnnbenchError, ConfigError, InUseError
from bnnbench.tune.objective import check_objective
from bnnbench.tune.space import Dimension, around, corners, dimension, read
from bnnbench.tune.study import ROUND, STARTUP, Study


def space(*typed: str) -> list[Dimension]:
    return [dimension(OverridesParser.create().parse_override(words)) for words in typed]


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a=interval(1,10)", "a: 1 to 10"),
        ("a=int(interval(1,10))", "a: whole numbers 1 to 10"),
        ("a=tag(log,interval(1e-4,1))", "a: 0.0001 to 1, logarithmic"),
        ("a=tag(log,int(interval(10,1000)))", "a: whole numbers 10 to 1000, logarithmic"),
        ("a=range(1,10,3)", "a: whole numbers 1 to 7 in steps of 3"),
        ("a=range(3,0,-1)", "a: whole numbers 1 to 3"),
        ("a=range(0,1,0.25)", "a: 0 to 0.75 in steps of 0.25"),
        ("a=range(0,1e9,0.5)", "a: 0 to 999999999.5 in steps of 0.5"),  # never listed
        ("a=choice(x,1,x)", "a: 1, x"),
        ("a=shuffle(2,1)", "a: 1, 2"),
    ],
)
def test_hydras_sweeps_are_read_as_spaces(typed: str, shown: str) -> None:
    assert str(space(typed)[0]) == shown


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("seed=0,1", "seed=0,1: a search has one value of seed; start one search per value."),
        ("dataset.valid=choice(0.1,0.2)", "a search has one value of dataset.valid"),
        ("method=interval(1,2)", "method=interval(1,2): give names of methods, as method=sgld,psgld."),
        ("~seed", "~seed: a search varies values and cannot remove a key."),
        ("a=interval(1,0.1)", "a=interval(1,0.1): an interval runs from a smaller number to a larger one."),
        ("a=interval(1,1)", "a=interval(1,1): an interval runs from a smaller number to a larger one."),
        ("a=interval(1,inf)", "a=interval(1,inf): an interval runs from a smaller number to a larger one."),
        ("a=interval(nan,1)", "a=interval(nan,1): an interval runs from a smaller number to a larger one."),
        ("a=tag(lgo,interval(1,2))", "a=tag(lgo,interval(1,2)): no tag 'lgo'. Did you mean 'log'?"),
        ("a=tag(log,interval(-1,2))", "a=tag(log,interval(-1,2)): a logarithmic scale is for numbers above 0"),
        ("a=tag(log,interval(0,2))", "a=tag(log,interval(0,2)): a logarithmic scale is for numbers above 0"),
        ("a=tag(log,range(1,9,2))", "a logarithmic scale is for numbers above 0, without steps."),
        ("a=tag(log,choice(1,2))", "a=tag(log,choice(1,2)): a logarithmic scale is for interval(a,b)."),
        ("batch_size=range(5,5)", "batch_size=range(5,5): the range is empty"),
        ("a=range(1,2,0)", "a=range(1,2,0): the range is empty"),
        ("a=range(0,inf)", "a=range(0,inf): the range is empty"),
        ("a=range(10,1e30)", "a=range(10,1e30): the steps are too small."),
        ("method=[sgd,sgld]", "method=[sgd,sgld]: give names of methods, as method=sgld,psgld."),
        ("method={name:sgd}", "method={name:sgd}: give names of methods, as method=sgld,psgld."),
        ("method=null", "method=null: give names of methods, as method=sgld,psgld."),
        ("chosen={a:b}", "chosen={a:b}: the search itself records how its settings were chosen."),
        ("checkpoint_every=1,2", "a search has one value of checkpoint_every"),
    ],
)
def test_what_is_no_space_is_refused_in_one_line(typed: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read([OverridesParser.create().parse_override(typed)])
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_given_twice_is_refused() -> None:
    for typed in (("method=sgd", "method=sgld"), ("lr=1,2", "lr=3"), ("lr=1,2", "++lr=3,4")):
        with pytest.raises(ConfigError, match="once, several values as"):
            read([OverridesParser.create().parse_override(words) for words in typed])


def test_the_order_of_the_words_makes_no_other_space() -> None:
    words = [OverridesParser.create().parse_override(words) for words in ("b=1,2", "a=interval(1,2)")]
    assert read(words).space == read(words[::-1]).space


@pytest.mark.parametrize(
    ("choices", "value", "typed"),
    [
        ("1e-3,1e-2", 0.001, "0.001"),
        ("null,x", None, "null"),
        ("true,false", False, "False"),
        ("[8,8],[8]", [8, 8], "[8,8]"),
        ("0,1", False, None),
        ("x,y", "y", "y"),
    ],
)
def test_a_value_is_found_among_choices_however_they_are_typed(choices: str, value: Any, typed: str | None) -> None:
    assert space(f"a={choices}")[0].find(value) == typed


def test_numbers_from_a_narrow_range_keep_the_digits_that_tell_them_apart() -> None:
    (narrow,) = space("a=interval(0.99999,0.999999)")
    assert narrow.rounded(0.9999923456) == 0.999992346
    assert space("a=interval(0.1,1)")[0].rounded(0.123456) == 0.1235


def test_without_a_space_it_is_the_step_size_about_its_value() -> None:
    assert str(around(5e-4)) == "method.optimizer.lr: 1.67e-05 to 0.015, logarithmic"
    with pytest.raises(ConfigError, match="no range around it"):
        around("auto")


def test_a_number_at_an_end_of_a_logarithmic_range_lies_at_the_edge() -> None:
    (wide,) = space("a=tag(log,interval(1e-4,1))")
    assert [wide.at_edge(value) for value in (1.5e-4, 2e-4, 0.5, 0.7)] == [True, False, False, True]


def test_the_corners_hold_every_end_and_choice_and_a_fraction() -> None:
    assert corners(space("a=interval(1,2)", "b=x,y,z")) == [
        ["a=1.0", "b=x"],
        ["a=1.618", "b=x"],
        ["a=2.0", "b=x"],
        ["a=1.0", "b=y"],
        ["a=1.0", "b=z"],
    ]


@pytest.mark.parametrize(
    ("words", "metric", "says"),
    [
        (
            ("dataset=uci",),
            "nll",
            "dataset.valid=0: boston has no validation split, which is what trials are judged on.",
        ),
        (("dataset.valid=0.1",), "nll", "eval.splits=['valid', 'test']: trials see the validation split alone."),
        (("dataset.valid=0.1", "eval.splits=[valid]", "force=true"), "nll", "force=true: a search repeats no trial."),
        (
            ("dataset.valid=0.1", "eval.splits=[valid]"),
            "rmse",
            "--metric rmse: no such measure of digits. Allowed: brier, ",
        ),
        (
            ("dataset=uci", "dataset.valid=9", "eval.splits=[valid]"),
            "error",
            "--metric error: no such measure of boston. Allowed: nll, rmse.",
        ),
    ],
)
def test_a_search_that_could_not_be_judged_is_refused(
    compose: Callable[..., dict[str, Any]], words: tuple[str, ...], metric: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_objective(compose(*words), metric)
    assert says in str(caught.value) and "\n" not in str(caught.value)


SPACE = space("lr=tag(log,interval(1e-3,10))", "n=range(10,50,10)", "word=x,y")
START = {"lr": 0.1, "n": 20, "word": "x"}


def result(values: dict[str, Any]) -> float | None:
    """A score with its minimum at lr = 0.5, n = 30, word = y; above lr = 5 the run diverges."""
    if values["lr"] > 5:
        return None
    return math.log(values["lr"] / 0.5) ** 2 + (values["n"] - 30) ** 2 / 400 + (values["word"] == "x")


def search(file: Path, count: int, seed: int = 0, dies_after: int | None = None) -> list[tuple[Any, ...]]:
    """Go on with the search in `file` to `count` trials, or to so many told scores; return its trials."""
    told = 0
    with Study(file, SPACE, START, seed) as study:
        while begun := study.round(count):
            for trial in begun:
                if told == dies_after:
                    break
                study.tell(trial, result(trial.params))
                told += 1
            else:
                continue
            break
        return [(t.number, t.params, t.state.name, t.value) for t in study.trials(count)]


COUNT = STARTUP + ROUND + 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The trials of a search that nothing stopped."""
    return search(tmp_path_factory.mktemp("whole") / "study.db", COUNT)


def test_a_search_that_dies_anywhere_goes_on_to_the_trials_of_one_that_does_not(
    whole: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    assert [number for number, *_ in whole] == list(range(COUNT)) and whole[0][1] == START
    assert {state for _, _, state, _ in whole} == {"COMPLETE", "PRUNED"}  # lr > 5 counts, and has no score
    for dies_after in (4, 8):  # in the first round, in the second
        search(tmp_path / "killed.db", COUNT, dies_after=dies_after)
    assert search(tmp_path / "killed.db", COUNT) == whole
    assert search(tmp_path / "killed.db", COUNT) == whole  # nothing is left
    assert [values for _, values, *_ in search(tmp_path / "other.db", 2, seed=1)][1] != whole[1][1]


def test_a_search_extended_in_steps_makes_the_trials_of_one_made_at_once(
    whole: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    for some in (3, STARTUP + 2, STARTUP + ROUND + 1, COUNT):
        grown = search(tmp_path / "grown.db", some)
    assert grown == whole


def test_a_study_lies_where_its_name_says_whatever_it_means_in_a_url(tmp_path: Path) -> None:
    file = tmp_path / "a?b%20{c}#d" / "study.db"
    assert len(search(file, 2)) == 2
    assert file.is_file() and [path.name for path in tmp_path.iterdir()] == [file.parent.name]


def test_a_study_that_cannot_be_written_any_more_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Study(tmp_path / "study.db", SPACE, START, 0) as study:
        (trial,) = study.round(1)
        with study._study._storage._backend.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only = 1")
        with pytest.raises(BnnbenchError, match="readonly database") as caught:
            study.tell(trial, 1.0)
    assert "the same command goes on" in str(caught.value) and "\n" not in str(caught.value)


def test_a_search_looks_where_scores_are_good(tmp_path: Path) -> None:
    trials = search(tmp_path / "study.db", 25)
    words = [values["word"] for _, values, *_ in trials]
    assert words[STARTUP:].count("y") > 0.6 * (25 - STARTUP)  # at random, half of them
    with Study(tmp_path / "study.db", SPACE, START, 0) as study:
        best = study.best(25)
        assert best is not None and best.value == min(value for *_, value in trials if value is not None) < 0.5


def test_a_study_that_is_open_or_damaged_is_said_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    with Study(file, SPACE, START, 0), pytest.raises(InUseError, match="another process is searching there"):
        Study(file, SPACE, START, 0).__enter__()
    file.write_bytes(b"no database" * 100)
    with pytest.raises(BnnbenchError, match="damaged, or not writable") as caught:
        Study(file, SPACE, START, 0).__enter__()
    assert "\n" not in str(caught.value)
