"""Rows of the check, and which numbers have moved since another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MOVED = 4.5  # standard errors of a difference


@dataclass(frozen=True)
class Row:
    """One moment of one setting, in the direction in which it is furthest from what it should be.

    Means are in posterior standard deviations (at T = 1) from the posterior's mean, variances (about that mean) in
    posterior variances, the fourth moment (kurtosis) in squares of the law's variance: 3 for a normal chain.

    Attributes:
        sampler, target, gradient_noise, temperature: the setting.
        h, lr: its step size, dimensionless (2 is where the chain diverges) and η.
        moment: mean, variance or kurtosis.
        direction: of the posterior's principal axes, from 1, the narrowest.
        estimate, error: over the independent chains, with its standard error.
        law: the exact value for the discrete chain, where it is known.
        posterior: the exact value for p(θ | y)^(1/T).
        z: (estimate − law) / its standard error.
        bias: estimate − posterior.
        ess_per_gradient: effective draws per gradient of one chain.
        verdict: pass, fail or unresolved; see `bnnbench.check.verdict`.
        note: why there are no numbers.
    """

    sampler: str
    target: str
    gradient_noise: str
    temperature: float
    h: float
    lr: float
    moment: str
    direction: int | None = None
    estimate: float | None = None
    error: float | None = None
    law: float | None = None
    posterior: float | None = None
    z: float | None = None
    bias: float | None = None
    ess_per_gradient: float | None = None
    verdict: str = ""
    note: str = ""

    @property
    def expected(self) -> float | None:
        """The law's value, else the posterior's."""
        return self.posterior if self.law is None else self.law

    @property
    def key(self) -> tuple[str, ...]:
        """What a later row of the same thing has in common with this one."""
        setting = (self.sampler, self.target, self.gradient_noise, f"{self.temperature:g}", f"{self.h:.2g}")
        return (*setting, self.moment)


def moved(rows: Iterable[Row], before: Iterable[Row], sigmas: float = MOVED) -> list[str]:
    """Return a line for every number more than `sigmas` standard errors of the difference from that `before`.

    A verdict that is another one, or a setting that had numbers and has none, has a line too.
    """
    old, lines = {row.key: row for row in before}, []
    for row in rows:
        was = old.get(row.key)
        if was is None:
            continue
        where = f"{row.sampler}, {row.target}, {row.gradient_noise}, T = {row.temperature:g}, h = {row.h:.2g}"
        if None not in (row.estimate, row.error, was.estimate, was.error):
            assert row.estimate is not None and was.estimate is not None
            error = math.hypot(row.error or 0.0, was.error or 0.0)
            gap = row.estimate - was.estimate
            if row.direction != was.direction:  # another axis is the worst: its value may be another, its error may not
                gap -= (row.expected or 0.0) - (was.expected or 0.0)
            if abs(gap) > sigmas * error:
                away = abs(gap) / error if error else math.inf
                lines.append(
                    f"{where}: {row.moment} {row.estimate:.4g}, was {was.estimate:.4g}: {away:.1f} standard errors"
                )
                continue
        if row.verdict != was.verdict:
            lines.append(f"{where}: {row.moment}: {row.verdict}, was {was.verdict}")
    return lines
