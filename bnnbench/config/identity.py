"""The identity of a run: the hash of all settings that can change its numbers, and the folder that is named by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# What cannot change a run's numbers and so is no part of its identity: where it lies, what it is called, how often it
# is saved. Device and threads change the draw of the noise and the last digits, but not the law; the manifest has them.
_NOT_IDENTITY = frozenset(
    (
        *("results", "name", "data", "device", "threads", "checkpoint_every", "force", "eval.batch_size"),
        "chosen",
        *("dataset.label", "dataset.budget", "model.label", "schedule.label", "method.label", "method.reference"),
        "temperature",  # a method that has one holds its own copy
    )
)


def identity(raw: Mapping[str, Any]) -> str:
    """Return the run's identity: 8 hexadecimal digits, the hash of all that can change its numbers.

    1 and 1.0 are one number, however they are typed.
    """
    method = raw["method"]
    # The plan of the members counts in the method's own copy; an optimiser has none, and only `frozen` reads it then.
    planless = {"members"} if method["bn_stats"] != "frozen" or method["predictive"]["name"] == "samples" else set()
    layerless = {"method.kl"} if method["layers"]["name"] == "deterministic" else set()
    drawless = {"method.predictive.draws"} if method["predictive"]["name"] == "point" else set()
    epochless = {"epochs"} if raw["iterations"] is not None else set()
    left_out = {*_NOT_IDENTITY, *planless, *layerless, *drawless, *epochless}

    def pruned(node: Any, place: str = "") -> Any:
        if isinstance(node, Mapping):
            paths = {key: f"{place}.{key}" if place else str(key) for key in node}
            return {key: pruned(value, paths[key]) for key, value in node.items() if paths[key] not in left_out}
        if isinstance(node, list | tuple):
            return [pruned(value, place) for value in node]
        return float(node) if isinstance(node, int) and not isinstance(node, bool) else node

    return hashlib.sha256(json.dumps(pruned(raw), sort_keys=True).encode()).hexdigest()[:8]


def folder_name(raw: Mapping[str, Any]) -> str:
    """Return ``<dataset>-<model>-<method>-<hash8>``, the name of the run's folder."""
    parts = (raw["dataset"]["name"], raw["model"]["name"], raw["method"]["name"])
    return "-".join([*(str(p).rpartition(".")[2] for p in parts), identity(raw)])
