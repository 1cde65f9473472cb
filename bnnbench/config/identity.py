"""The identity of a run: the hash of all settings that can change its numbers, and the folder that is named by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from bnnbench.config.effect import canonical, effective


def identity(raw: Mapping[str, Any]) -> str:
    """Return the run's identity: 8 hexadecimal digits, the hash of all settings that can change its numbers.

    1 and 1.0 are one number, however they are typed. Which settings have no effect: `bnnbench.config.effect`.
    """
    return hashlib.sha256(canonical(effective(raw)).encode()).hexdigest()[:8]


def folder_name(raw: Mapping[str, Any]) -> str:
    """Return ``<dataset>-<model>-<method>-<hash8>``, the name of the run's folder."""
    parts = (raw["dataset"]["name"], raw["model"]["name"], raw["method"]["name"])
    return "-".join([*(str(p).rpartition(".")[2] for p in parts), identity(raw)])
