"""Configurations of runs that take a second, composed as the command line composes them."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

# On the digits, whose training set is 14.38 minibatches.
SMALL = ("epochs=9.74", "members.burn_in=50", "eval.every=50", "threads=1")  # 140 iterations
QUICK = ("model.widths=[8]", "epochs=1.95", "members.burn_in=5", "eval.every=10", "threads=1")  # 28 iterations


@functools.cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    from bnnbench.config.composition import compose

    return compose(overrides)


def composed(*overrides: str, results: Path | None = None) -> dict[str, Any]:
    """Return the resolved configuration of the run that ``bnnbench run <overrides>`` makes, to be changed at will.

    Args:
        overrides: composed once for all tests of this process.
        results: folder of the results, unless an override names one.
    """
    raw = copy.deepcopy(_composed(overrides))
    if results is not None and not any(override.startswith("results=") for override in overrides):
        raw["results"] = str(results)
    return raw
