"""Means over repetitions and paired differences between two groups of them, as functions of numbers alone.

scipy is imported inside a function: it takes longer to load than all else on the command line.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

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
        pairs: repetitions common to both; without any, all other attributes are None.
        value: the mean difference.
        low: lower end of the interval; None with fewer than two pairs, or if all pairs differ by the same amount, where
            the test is undefined.
        high: its upper end.
        p: the two-sided p-value.
        p_holm: the p-value corrected for all groups tested against the best.
        data: N of the test data behind the next two, which are None where their scores were not kept.
        data_low, data_high: ends of the interval over test data, see `interval_over_data`.
    """

    pairs: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    data: int | None = None
    data_low: float | None = None
    data_high: float | None = None


def by_repetition(values: pd.Series) -> pd.Series:
    """Return the mean of the values that agree in the whole index: a copy of a run is no new evidence."""
    return values.groupby(level=list(values.index.names)).mean()


def means(values: pd.Series, at: str) -> pd.DataFrame:
    """Return the mean over repetitions and its standard error s/√n at each point, after averaging copies.

    Args:
        values: indexed by the level `at` and by the levels that make up a repetition, such as seed and chain.
        at: name of the level of points, such as iteration.

    Returns:
        Columns ``value`` and ``error`` (nan with fewer than two repetitions), by increasing `at`.
    """
    points = by_repetition(values).groupby(level=at)
    return pd.DataFrame({"value": points.mean(), "error": points.std(ddof=1) / np.sqrt(points.count())})


def mean(values: pd.Series) -> Mean:
    """Return the mean of `values`, one per repetition as from `by_repetition` and at least one, and its error s/√n."""
    count = len(values)
    error = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    return Mean(float(values.mean()), error, count)


def difference(x: Mapping[Hashable, float], y: Mapping[Hashable, float]) -> Difference:
    """Return x − y over the common repetitions, by Student's paired t test (Student 1908).

        d̄ ± t_{n−1, 0.975} s_d/√n,    t = d̄ / (s_d/√n) with n − 1 degrees of freedom

    Args:
        x: repetition → value.
        y: the same for the group compared with.
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


def interval_over_data(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], root: bool = False
) -> tuple[float, float] | None:
    """Return Student's interval for the mean difference of two groups' scores, had other test data been drawn.

        d̄ ± t_{N−1, 0.975} s_d/√N,    d_n = (1/P) Σ_p (x_pn − y_pn)

    The networks stay what they are: it says nothing of other seeds, as the interval over repetitions says nothing of
    other data.

    Args:
        pairs: P of them, x_p and y_p [N]: each datum's contribution to the two scores.
        root: a score is the root R = √x̄ of its mean; then x_n/(2R) takes the place of x_n (the delta method).

    Returns:
        None with fewer than two data, or where the difference is the same for all of them.
    """
    d = np.zeros(len(pairs[0][0]))
    centre = 0.0
    for x, y in pairs:
        scores = [np.sqrt(values.mean()) if root else values.mean() for values in (x, y)]
        parts = [v / (2 * s) if root and s > 0 else v for v, s in zip((x, y), scores, strict=True)]
        centre += (scores[0] - scores[1]) / len(pairs)
        d += (parts[0] - parts[1]) / len(pairs)
    largest = max(float(np.abs(values).max(initial=0.0)) for pair in pairs for values in pair)
    if len(d) < 2 or not np.isfinite(d).all() or np.ptp(d) <= 8 * np.finfo(float).eps * largest:
        return None
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)))
    return float(centre) - half, float(centre) + half


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number m: the k-th smallest becomes max_{j≤k} min(1, (m−j+1) p_(j)).

    Controls the probability of any false rejection, whatever the dependence of the tests (Holm 1979). None stands for
    a test that could not be made; it is returned as None and does not count.
    """
    made = sorted((value, i) for i, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, i) in enumerate(made):
        largest = max(largest, min(1.0, (len(made) - rank) * value))
        corrected[i] = largest
    return corrected
