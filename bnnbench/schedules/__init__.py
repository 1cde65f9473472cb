"""Step-size schedules, one per file: the multiplier of ``lr`` at iteration t = 0, 1, …, T−1, which is 1 at t = 0.

A schedule's file has two functions and may have a third, all with the schedule's own options as keywords:
    factor(iteration, *, iterations, steps_per_epoch, <options>) -> float
    convergence(<options>) -> str | None
    samples(iteration, *, iterations, steps_per_epoch, <options>) -> bool
`convergence` is None where the step sizes ε_t satisfy Σ ε_t = ∞ and Σ ε_t² < ∞ (Robbins & Monro 1951; Welling & Teh
2011, eq. 2), so that SGLD without a Metropolis test converges to the posterior; else a sentence with what breaks.
`samples` tells whether the iterate after that step may join the posterior mean; without it every one may.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from bnnbench.config import plugins
from bnnbench.config.schema import MOST
from bnnbench.config.signatures import check_options
from bnnbench.config.user_code import called
from bnnbench.errors import ConfigError


def make_schedule(schedule: Mapping[str, Any], *, iterations: int, steps_per_epoch: float) -> Callable[[int], float]:
    """Return t ↦ multiplier of the step size at the 0-based iteration t.

    Args:
        schedule: ``name``, ``label`` (unused here) and the schedule's own options, as in ``conf/schedule/``.
        iterations: T, of the whole run.
        steps_per_epoch: iterations per pass over the training data, N/B.

    Raises:
        ConfigError: see `check_schedule`.
    """
    factor, options = _resolve(schedule)
    multiplier = functools.partial(factor, iterations=iterations, steps_per_epoch=steps_per_epoch, **options)
    if "." not in schedule["name"]:
        return multiplier
    checked = functools.partial(_checked, schedule["name"], multiplier)
    checked(0), checked(iterations - 1)  # rather now than in the middle of the run
    return checked


def sampling_phase(
    schedule: Mapping[str, Any], *, iterations: int, steps_per_epoch: float
) -> Callable[[int], bool] | None:
    """Return t ↦ whether the iterate after the 0-based iteration t may be a member; None where every one may.

    Args and raises: see `make_schedule`.
    """
    factor, options = _resolve(schedule)
    module = inspect.getmodule(factor) if "." in schedule["name"] else plugins.find("schedules", schedule["name"])
    samples = getattr(module, "samples", None)
    if not callable(samples):
        return None
    phase = functools.partial(samples, iterations=iterations, steps_per_epoch=steps_per_epoch, **options)

    def told(iteration: int) -> bool:
        with called(f"schedule.name={schedule['name']}: samples({iteration}, …)"):
            return bool(phase(iteration))

    return told


def _checked(name: str, multiplier: Callable[[int], float], iteration: int) -> float:
    """Return what a user's own schedule gives at `iteration`; ConfigError if it raises, or that is no number >= 0."""
    with called(f"schedule.name={name}: factor({iteration}, …)"):
        value = multiplier(iteration)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        shown = "too large" if isinstance(value, int) and value > MOST else repr(value)
        raise ConfigError(f"schedule.name={name}: factor({iteration}, …) is {shown}; it must be a number >= 0.")
    return value


def check_schedule(schedule: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unknown name or an option that is unknown, missing, of a wrong type or out of range."""
    _resolve(schedule)


def convergence_warning(schedule: Mapping[str, Any]) -> str | None:
    """Return the schedule's ``convergence`` sentence; None if SGLD converges, or a user's own code says nothing.

    Raises:
        ConfigError: see `check_schedule`.
    """
    _, options = _resolve(schedule)
    module = plugins.find("schedules", schedule["name"])
    if not isinstance(module, ModuleType) or not hasattr(module, "convergence"):
        return None
    return module.convergence(**options)


def _resolve(schedule: Mapping[str, Any]) -> tuple[Callable[..., float], dict[str, Any]]:
    options = dict(schedule)
    name = options.pop("name", None)
    options.pop("label", None)
    if not isinstance(name, str):
        raise ConfigError(f"schedule.name={name}: give the name of one: {', '.join(plugins.names('schedules'))}.")
    supplied = ("iteration", "iterations", "steps_per_epoch")
    factor = plugins.function("schedules", name, "factor", takes=("iteration",))
    parameters = inspect.signature(factor).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()) and not set(supplied) <= set(parameters):
        raise ConfigError(f"schedule.name={name}: its function must take iteration, iterations and steps_per_epoch.")
    return factor, check_options(factor, options, supplied=supplied, where="schedule")
