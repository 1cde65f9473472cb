"""Means over repetitions and paired differences between two groups of them: functions of plain numbers.

scipy is imported by the functions, for it costs more time than everything else that a command line loads.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of the intervals


@dataclass(frozen=True)
class Mean:
    """The mean of `count` repetitions, and its standard error s/√n; None with fewer than two."""

    value: float
    error: float | None
    count: int


@dataclass(frozen=True)
class Difference:
    """The mean over `pairs` of x − y, with Student's interval and the paired t test of "the mean difference is 0".

    Attributes:
        pairs: repetitions that both have; with none, everything else is None.
        value: the mean difference.
        low: lower end of the interval; None with fewer than two pairs, or if all pairs differ by the same amount, when
            the test says nothing.
        high: its upper end.
        p: the two-sided p-value.
        p_holm: the same, corrected for all groups that were tested against the best.
    """

    pairs: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of `values`, at least one, and its standard error."""
    x = np.asarray(values, float)
    return Mean(float(x.mean()), float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else None, len(x))


def difference(x: Mapping[Hashable, float], y: Mapping[Hashable, float]) -> Difference:
    """Return x − y over the repetitions that both name, by Student's paired t test (Student 1908).

        d̄ ± t_{n−1, 0.975} s_d/√n,    t = d̄ / (s_d/√n) with n − 1 degrees of freedom

    Args:
        x: repetition → value.
        y: the same of the group compared with.
    """
    from scipy import stats

    shared = [unit for unit in x if unit in y]
    if not shared:
        return Difference(0)
    a, b = np.array([x[unit] for unit in shared]), np.array([y[unit] for unit in shared])
    d = a - b
    # Differences equal up to rounding have no spread to judge their mean by: t would be 0/0 or a division by noise.
    if len(d) < 2 or np.ptp(d) <= 8 * np.finfo(float).eps * max(np.abs(a).max(), np.abs(b).max()):
        return Difference(len(d), float(d.mean()))
    test = stats.ttest_rel(a, b)
    low, high = test.confidence_interval(LEVEL)
    return Difference(len(d), float(d.mean()), float(low), float(high), float(test.pvalue))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Return the p-values corrected for their number m: the k-th smallest becomes max_{j≤k} min(1, (m−j+1) p_(j)).

    That controls the probability of even one false finding, whatever the tests' dependence (Holm 1979). A None is no
    test: it stays and does not count.
    """
    made = sorted((value, i) for i, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, i) in enumerate(made):
        largest = max(largest, min(1.0, (len(made) - rank) * value))
        corrected[i] = largest
    return corrected
