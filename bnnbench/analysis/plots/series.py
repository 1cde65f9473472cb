"""Rows of metrics.csv → the numbers of one line: mean over replicates, standard error, and limits of the axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bnnbench.analysis.statistics import means
from bnnbench.store.frame import Run
from bnnbench.tasks.measures import measures_of


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        x: [points] position, in the order of iterations.
        mean: [points] mean over the replicates present at each point.
        error: [points] standard error of that mean; nan with fewer than two replicates.
        seeds: how many seeds.
        chains: how many chains per seed (1 where chains are pooled).
        pooled: how many networks one pooled prediction averages over; 0 if each chain is judged by itself.
        only_pooled: whether no chain has such a prediction of its own, as in a deep ensemble.
    """

    x: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    seeds: int
    chains: int
    pooled: int = 0
    only_pooled: bool = False


def series(
    runs: Sequence[Run],
    *,
    metric: str,
    x: str,
    split: str,
    predictor: str,
    scale: float = 1.0,
    pool: bool = False,
) -> Series | None:
    """Return the line of `runs` (one configuration under several seeds), or None if there is nothing to draw.

    A replicate is a (seed, chain). A method that records only the prediction pooled over chains (a deep ensemble) has
    its seeds as replicates, and so has any method of several chains if `pool`. Replicates are matched by iteration even
    if `x` is a time, which no two runs share; `x` is then their mean.
    """
    parts: dict[str, list[np.ndarray]] = {"iteration": [], "seed": [], "chain": [], "x": [], "y": []}
    for run in [run for run in runs if metric in measures_of(run.manifest)]:
        columns = run.columns
        taken = (columns["split"] == split) & (columns["predictor"] == predictor)
        # Folders without a seed in their config are replicates by themselves.
        seed = str(run.folder.name if run.seed is None else run.seed)
        parts["iteration"].append(columns["iteration"][taken])
        parts["seed"].append(np.full(np.count_nonzero(taken), seed, dtype=object))
        parts["chain"].append(columns["chain"][taken])
        parts["x"].append(columns[x][taken])
        parts["y"].append(columns[metric][taken] * scale)
    if not parts["y"]:
        return None
    rows = pd.DataFrame({name: np.concatenate(arrays) for name, arrays in parts.items()}).dropna()
    each = rows[rows["chain"] != "all"]
    pooled, only_pooled = 0, each.empty
    if (only_pooled or pool) and (rows["chain"] == "all").any():
        each, pooled = rows[rows["chain"] == "all"], max(int(run.config.get("chains") or 1) for run in runs)
    if each.empty:
        return None
    each = each.set_index(["iteration", "seed", "chain"])
    y = means(each["y"], "iteration")
    return Series(
        x=means(each["x"], "iteration")["value"].to_numpy(float),
        mean=y["value"].to_numpy(float),
        error=y["error"].to_numpy(float),
        seeds=each.index.get_level_values("seed").nunique(),
        chains=each.index.get_level_values("chain").nunique(),
        pooled=pooled if pooled > 1 else 0,
        only_pooled=only_pooled,
    )


def limits(lines: Iterable[Series], log: bool = False, start: float = 0.1, room: float = 0.08) -> tuple[float, float]:
    """Return y-limits that the first, high points do not stretch.

    The upper limit covers all points after the first `start` of the x-range, bands included, with `room` of the height
    to spare; the lower one covers all points. First points that reach only a little higher are shown too.
    """
    x, y = _corners(lines)
    if log:
        x, y = x[y > 0], np.log10(y[y > 0])
    if not len(y):
        return (0.1, 1.0) if log else (0.0, 1.0)
    late = y[x >= x.min() + start * (x.max() - x.min())]
    low, high = y.min(), late.max()
    height = high - low
    if y.max() <= high + 0.3 * height:
        high = y.max()
        height = high - low
    if height == 0:
        height = abs(high) or 1.0  # a flat line goes in the middle
    bottom, top = low - room * height, high + room * height
    if log:
        return 10**bottom, 10**top
    return (max(bottom, 0.0) if low >= 0 else bottom), top


def _corners(lines: Iterable[Series]) -> tuple[np.ndarray, np.ndarray]:
    """Return the finite points of all lines and of the edges of their bands."""
    lines = list(lines)
    x = np.concatenate([np.tile(line.x, 3) for line in lines] or [np.empty(0)])
    y = np.concatenate(
        [part for line in lines for part in (line.mean, line.mean - line.error, line.mean + line.error)]
        or [np.empty(0)]
    )
    keep = np.isfinite(x) & np.isfinite(y)
    return x[keep], y[keep]
