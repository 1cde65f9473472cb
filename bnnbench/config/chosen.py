"""The section ``chosen`` of a configuration: how its settings were found, as `bnnbench tune` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def departures(raw: Mapping[str, Any]) -> list[str]:
    """Return the settings of the run `raw` that differ from those chosen by the search that it names."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found: list[str] = []
    settings = (raw.get("chosen") or {}).get("settings")
    for key, typed in settings.items() if isinstance(settings, Mapping) else ():
        value: Any = raw
        for part in key.lstrip("+").split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        best = OverridesParser.create().parse_override(f"x={typed}").value() if isinstance(typed, str) else typed
        if value != best and not isinstance(value, Mapping):  # the name of a group's file is not stored
            found.append(f"{key}={value} differs from what the search chose, {typed}")
    return found
