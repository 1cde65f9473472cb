"""Multipliers of the step size against hand-computed values; the two sums of Robbins and Monro; refusals."""

import inspect
import math
from pathlib import Path

import pytest
import yaml

from bnnbench.config import plugins
from bnnbench.errors import ConfigError
from bnnbench.schedules import check_schedule, convergence_warning, make_schedule, sampling_phase

CONF = sorted((Path(__file__).parents[2] / "conf" / "schedule").glob("*.yaml"))


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def schedule(iterations=100, steps_per_epoch=10, **options):
    return make_schedule(options, iterations=iterations, steps_per_epoch=steps_per_epoch)


def test_every_schedule_has_a_yaml_of_its_name():
    assert [p.stem for p in CONF] == plugins.names("schedules")
    assert all(load(p)["name"] == p.stem for p in CONF)


@pytest.mark.parametrize("path", CONF, ids=lambda p: p.stem)
def test_every_yaml_starts_at_one_and_stays_in_the_unit_interval(path):
    factor = schedule(1003, 17, **load(path))
    values = [factor(t) for t in range(1003)]
    assert values[0] == 1.0
    assert all(isinstance(v, float) and 0 <= v <= 1 for v in values)


@pytest.mark.parametrize("path", CONF, ids=lambda p: p.stem)
def test_defaults_in_the_code_are_those_of_the_yaml(path):
    given = load(path)
    for name, parameter in inspect.signature(
        plugins.function("schedules", given["name"], "factor", takes=("iteration",))
    ).parameters.items():
        if parameter.default is not parameter.empty:
            assert given[name] == parameter.default


def test_constant():
    factor = schedule(name="constant")
    assert [factor(t) for t in (0, 50, 99)] == [1.0, 1.0, 1.0]


def test_polynomial():
    factor = schedule(name="polynomial", b=2.0, power=0.5)
    assert factor(6) == pytest.approx(0.5)  # (1 + 3)^−½
    a, b, gamma = 0.01, 231.0, 0.55  # the other way of writing it: a (b + t)^−γ with lr = a b^−γ
    factor = schedule(name="polynomial", b=b, power=gamma)
    for t in (0, 1, 1000, 10**6):
        assert a * b**-gamma * factor(t) == pytest.approx(a * (b + t) ** -gamma, rel=1e-12)
    assert factor(10**6) == pytest.approx(0.01, rel=1e-3)  # Welling & Teh's mixture: .01 → .0001 in 1e6 steps


def test_halving():
    factor = schedule(name="halving", every=2, by=0.5)
    assert [factor(t) for t in (0, 19, 20, 39, 40)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert schedule(name="halving", every=1, by=0.1, steps_per_epoch=1)(3) == pytest.approx(1e-3)


def test_linear():
    factor = schedule(name="linear", flat=0.5, final=0.0)
    assert [factor(t) for t in (0, 50, 75, 100)] == pytest.approx([1.0, 1.0, 0.5, 0.0], abs=1e-15)
    factor = schedule(name="linear", flat=0.0, final=0.2)
    assert [factor(t) for t in (0, 25, 100)] == pytest.approx([1.0, 0.8, 0.2])


def test_cosine():
    factor = schedule(name="cosine")
    assert [factor(t) for t in (25, 50, 100)] == pytest.approx([0.5 + math.sqrt(0.125), 0.5, 0.0], abs=1e-15)
    factor = schedule(name="cosine", final=0.2)
    assert [factor(t) for t in (0, 50, 100, 150)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_cyclical():
    factor = schedule(name="cyclical", cycles=4)  # 25 iterations each
    assert [factor(t) for t in (0, 25, 50, 75)] == [1.0] * 4
    assert factor(24) == pytest.approx(0.5 * (1 + math.cos(math.pi * 24 / 25)))
    assert factor(10) == factor(85)
    factor = schedule(name="cyclical", cycles=3)  # ⌈100/3⌉ = 34: restarts at 34 and 68
    assert [t for t in range(100) if factor(t) == 1.0] == [0, 34, 68]
    assert schedule(name="cyclical", cycles=1)(50) == pytest.approx(0.5)
    assert schedule(name="cyclical", cycles=200)(57) == 1.0  # more cycles than iterations: each is one iteration long


@pytest.mark.parametrize("power", [0.51, 0.55, 1.0])
def test_polynomial_converges_for_these_exponents(power):
    assert convergence_warning({"name": "polynomial", "b": 1.0, "power": power}) is None


@pytest.mark.parametrize(
    ("options", "breaks"),
    [
        ({"name": "constant"}, "Σε² diverges"),
        ({"name": "polynomial", "b": 1.0, "power": 0.5}, "Σε² diverges"),
        ({"name": "polynomial", "b": 1.0, "power": 1.01}, "Σε is finite"),
        ({"name": "halving", "every": 20, "by": 0.5}, "Σε is finite"),
        ({"name": "cosine", "final": 0.0}, "Σε is finite"),
        ({"name": "cosine"}, "Σε is finite"),
        ({"name": "cosine", "final": 0.1}, "Σε² diverges"),
        ({"name": "cyclical", "cycles": 4}, "Σε² diverges"),
    ],
)
def test_convergence_warning_names_the_sum_that_breaks(options, breaks):
    warning = convergence_warning(options)
    assert breaks in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "schedule.name"),
        ({"name": "cosin"}, "'cosine'"),
        ({"name": "cosine", "final": 1.5}, "schedule.final"),
        ({"name": "cosine", "finl": 0.5}, "'final'"),
        ({"name": "polynomial", "b": 1.0}, "power"),
        ({"name": "polynomial", "b": 0.0, "power": 0.5}, "schedule.b"),
        ({"name": "polynomial", "b": 1.0, "power": -0.5}, "schedule.power"),
        ({"name": "halving", "every": 0}, "schedule.every"),
        ({"name": "halving", "every": 20, "by": 1.0}, "schedule.by"),
        ({"name": "cyclical", "cycles": 2.5}, "schedule.cycles"),
        ({"name": "constant", "iterations": 5}, "no such option"),
    ],
)
def test_wrong_schedules_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        check_schedule(options)
    with pytest.raises(ConfigError, match=message):
        make_schedule(options, iterations=100, steps_per_epoch=10)


def test_a_users_module_by_its_dotted_name(user_package):
    user_package(
        "mine_sched",
        stairs="def factor(iteration, *, iterations, steps_per_epoch, step: float):\n    return 1 - step * iteration\n",
    )
    options = {"name": "mine_sched.stairs", "label": "stairs", "step": 0.01}
    assert schedule(**options)(3) == pytest.approx(0.97)
    assert convergence_warning(options) is None
    function = {"name": "mine_sched.stairs.factor", "step": 0.01}
    assert schedule(**function)(3) == pytest.approx(0.97)
    assert convergence_warning(function) is None


def test_only_the_last_part_of_a_cycle_samples():
    phase = sampling_phase({"name": "cyclical", "cycles": 3, "explore": 0.6}, iterations=30, steps_per_epoch=7)
    assert [t for t in range(30) if phase(t)] == [*range(6, 10), *range(16, 20), *range(26, 30)]
    assert sampling_phase({"name": "constant"}, iterations=30, steps_per_epoch=7) is None


def test_a_schedule_of_ones_own_may_say_when_it_samples(user_package):
    source = """
        def factor(iteration, *, iterations, steps_per_epoch, from_: int = 3):
            return 1.0


        def samples(iteration, *, iterations, steps_per_epoch, from_: int = 3):
            return iteration >= from_
    """
    user_package("mine", late=inspect.cleandoc(source))
    phase = sampling_phase({"name": "mine.late", "from_": 5}, iterations=8, steps_per_epoch=2)
    assert [phase(t) for t in range(8)] == [False] * 5 + [True] * 3
