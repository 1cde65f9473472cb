"""Splits of a dataset. Index sets come from numpy's RandomState, whose stream never changes between versions."""

from __future__ import annotations

import numpy as np

from bnnbench.errors import ConfigError


def hold_out(n: int, valid: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split 0…n−1 at random into (kept, held out), each in ascending order.

    Args:
        n: number of points.
        valid: how many are held out: a count, or a fraction of `n` if below 1 (rounded); 0 holds out none.
        seed: of the permutation; 0…2³²−1.

    Raises:
        ConfigError: nothing would be left on one of the two sides.
    """
    held = round(valid * n) if 0 < valid < 1 else int(valid)
    if valid > 0 and not 0 < held < n:
        raise ConfigError(f"dataset.valid={valid:g}: {held} of {n} training points; at least 1 and at most {n - 1}.")
    order = np.random.RandomState(seed).permutation(n)
    return np.sort(order[held:]), np.sort(order[:held])


def stratified(labels: np.ndarray, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices of `labels` into (first, second), ascending, with `fraction` of each class in the first."""
    random = np.random.RandomState(seed)
    first, second = [], []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        cut = round(fraction * len(members))
        first.append(members[:cut])
        second.append(members[cut:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))
