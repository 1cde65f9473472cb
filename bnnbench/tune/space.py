"""The search space of `bnnbench tune`: Hydra's sweeps, read as Optuna's distributions.

method.optimizer.lr=tag(log,interval(1e-4,1))      any number in between, on a logarithmic scale
batch_size=int(interval(20,200))                any whole number
members.thin=range(50,201,50)                   these numbers, in order
model.activation=choice(relu,tanh)              these words; also written relu,tanh
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bnnbench.config.effect import declared_as, not_compared, within
from bnnbench.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

LR = "method.optimizer.lr"
FACTOR = 30  # the default space is the step size, from a FACTOR-th of its value to FACTOR times it
DIGITS = 4  # that a drawn number keeps
EDGE = 0.05  # of its range: a best value this near to an end is reported as lying at the edge


@dataclass(frozen=True)
class Dimension:
    """A swept key and the values that it may take.

    Attributes:
        key: as typed, a leading plus included.
        distribution: Optuna's.
    """

    key: str
    distribution: CategoricalDistribution | FloatDistribution | IntDistribution

    def override(self, value: Any) -> str:
        """Return ``key=value`` in Hydra's grammar."""
        return f"{self.key}={value}"

    def rounded(self, value: Any) -> Any:
        """Return a drawn `value` with as many digits as one would type, or as keep the ends of the space distinct."""
        d = self.distribution
        if not isinstance(d, FloatDistribution):
            return value
        narrow = max(abs(d.low), abs(d.high)) / (d.high - d.low) if d.high > d.low else 1  # 0.999 to 0.9999: 1111
        digits = 12 if d.step else min(17, DIGITS + max(0, math.floor(math.log10(narrow or 1))))
        return min(max(float(f"{value:.{digits}g}"), d.low), d.high)

    def find(self, value: Any) -> Any:
        """Return the `value` of a configuration as a trial holds it; None if it lies outside the space."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return next((choice for choice in d.choices if _is(choice, value)), None)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        typed = int(value) if isinstance(d, IntDistribution) else float(value)
        return typed if typed == value and d._contains(typed) else None

    def samples(self) -> list[Any]:
        """Return all choices, or the two ends of a range, and a fraction between them if it has any."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return list(d.choices)
        fractions = isinstance(d, FloatDistribution) and not d.step
        return [d.low, *([self.rounded(d.low + 0.618 * (d.high - d.low))] if fractions else []), d.high]

    def at_edge(self, value: Any) -> bool:
        """Whether `value` is so near to an end of its range that a better one may lie beyond."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution) or d.single():
            return False
        scale = math.log if d.log else float
        place = (scale(value) - scale(d.low)) / (scale(d.high) - scale(d.low))
        return min(place, 1 - place) < EDGE

    def __str__(self) -> str:
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return f"{self.key}: {', '.join(map(str, d.choices))}"
        step = f" in steps of {d.step:g}" if d.step and not (isinstance(d, IntDistribution) and d.step == 1) else ""
        kind = "whole numbers " if isinstance(d, IntDistribution) else ""
        return f"{self.key}: {kind}{d.low:.12g} to {d.high:.12g}{step}{', logarithmic' if d.log else ''}"


def _is(choice: Any, value: Any) -> bool:
    """Whether a `choice`, as typed (``1e-3``, ``null``, ``[8,8]``, ``'a'``), is the `value` of a configuration."""
    typed = OverridesParser.create().parse_override(f"x={choice}").value()
    return typed == value and isinstance(typed, bool) == isinstance(value, bool)


@dataclass(frozen=True)
class Question:
    """The overrides of a search.

    Attributes:
        methods: as typed; none if `method=` was not given.
        fixed: the overrides with one value.
        space: those with several.
    """

    methods: list[str]
    fixed: list[Override]
    space: list[Dimension]


def read(overrides: Sequence[Override]) -> Question:
    """Return the search that `overrides` describe.

    Raises:
        ConfigError: a key that cannot be searched over or is given twice, an empty range, an unknown tag.
    """
    methods: list[str] = []
    fixed: list[Override] = []
    space: dict[str, Dimension] = {}
    typed: dict[tuple[str, str | None], Override] = {}
    # They decide what is compared, on which data and in which folder, or have no effect: one value each.
    given = {"dataset", "experiment", *not_compared(), *declared_as("always", "place", "label")}
    for override in overrides:
        key = override.key_or_group
        if override.is_delete():
            raise ConfigError(f"{override.input_line}: a search varies values and cannot remove a key.")
        before = typed.setdefault((key, override.package), override)
        if before is not override:  # the last one would win, silently
            raise ConfigError(
                f"{before.input_line} {override.input_line}: give {key} once, several values as {key}=a,b."
            )
        if key == "chosen":
            raise ConfigError(f"{override.input_line}: the search itself records how its settings were chosen.")
        if key == "method":
            several = override.is_choice_sweep()
            if not several and (override.is_sweep_override() or not isinstance(override.value(), str)):
                raise ConfigError(f"{override.input_line}: give names of methods, as method=sgld,psgld.")
            methods = list(override.sweep_string_iterator()) if several else [override.get_value_element_as_str()]
            methods = list(dict.fromkeys(methods))
            if not methods:
                raise ConfigError(f"{override.input_line}: there is no such method.")
        elif not override.is_sweep_override():
            fixed.append(override)
        elif within(key, given):
            raise ConfigError(f"{override.input_line}: a search has one value of {key}; start one search per value.")
        else:
            space[key] = dimension(override)
    return Question(methods, fixed, [space[key] for key in sorted(space)])  # in whatever order they were typed


def dimension(override: Override) -> Dimension:
    """Return the distribution of a swept `override`.

    Raises:
        ConfigError: it is empty, its numbers make no range, or its tag is unknown.
    """
    swept: Any = override.value()
    words, key = override.input_line, override.get_key_element()
    for tag in getattr(swept, "tags", ()):
        if tag != "log":
            raise ConfigError(f"{words}: no tag '{tag}'.{did_you_mean(tag, ['log'])}")
    log = "log" in getattr(swept, "tags", ())
    if override.is_choice_sweep():
        choices = tuple(sorted(set(override.sweep_string_iterator())))  # shuffle(a,b) is the same search
        if not choices:
            raise ConfigError(f"{words}: there are no choices.")
        if log:
            raise ConfigError(f"{words}: a logarithmic scale is for interval(a,b).")
        return Dimension(key, CategoricalDistribution(choices))
    low, high, step = _range(swept, words) if override.is_range_sweep() else (swept.start, swept.end, None)
    if not (low < high or (low == high and step)) or math.inf in (-low, high):
        raise ConfigError(f"{words}: an interval runs from a smaller number to a larger one.")
    if log and (low <= 0 or step not in (None, 1)):
        raise ConfigError(f"{words}: a logarithmic scale is for numbers above 0, without steps.")
    try:
        if isinstance(low, int) and isinstance(high, int):
            return Dimension(key, IntDistribution(low, high, log=log, step=step or 1))
        return Dimension(key, FloatDistribution(low, high, log=log, step=step))
    except InvalidOperation:  # numbers with more digits than Optuna resolves
        raise ConfigError(f"{words}: the steps are too small. Take larger ones, or interval(a,b).") from None


def _range(swept: Any, words: str | None) -> tuple[Any, Any, Any]:
    """Return the least and the greatest number of Hydra's ``range``, whose end is excluded, and its step."""
    numbers = (swept.start, swept.stop, swept.step)
    start, stop, step = (Decimal(str(number)) for number in numbers)
    finite = start.is_finite() and stop.is_finite() and step.is_finite()
    count = math.ceil((stop - start) / step) if finite and step else 0
    if count < 1:
        raise ConfigError(f"{words}: the range is empty; its end is excluded.")
    typed = int if all(isinstance(number, int) for number in numbers) else float
    low, high = sorted((start, start + (count - 1) * step))
    return typed(low), typed(high), typed(abs(step))


def around(lr: Any) -> Dimension:
    """Return the default space, a logarithmic scale around the step size `lr` of a method's file.

    Raises:
        ConfigError: it is no positive number.
    """
    if not isinstance(lr, int | float) or isinstance(lr, bool) or not 0 < lr < math.inf:
        raise ConfigError(f"{LR}={lr}: no range around it; give '{LR}=tag(log,interval(1e-4,1))', say.")
    low, high = (float(f"{end:.3g}") for end in (lr / FACTOR, lr * FACTOR))
    return Dimension(LR, FloatDistribution(low, high, log=True))


def corners(space: Sequence[Dimension]) -> list[list[str]]:
    """Return overrides that expose what is wrong with `space`, if anything: every sample of every key once."""
    first = [d.override(d.samples()[0]) for d in space]
    found = [first]
    for i, d in enumerate(space):
        found += [[*first[:i], d.override(value), *first[i + 1 :]] for value in d.samples()[1:]]
    return found
