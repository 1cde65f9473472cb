"""The section ``chosen`` of a configuration: how its settings were found, as `bnnbench tune` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def departures(raw: Mapping[str, Any]) -> list[str]:
    """Return the settings of the run `raw` that are others than the search chose which it says it is from."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found: list[str] = []
    settings = (raw.get("chosen") or {}).get("settings")
    for key, typed in settings.items() if isinstance(settings, Mapping) else ():
        value: Any = raw
        for part in key.lstrip("+").split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        best = OverridesParser.create().parse_override(f"x={typed}").value() if isinstance(typed, str) else typed
        if value != best and not isinstance(value, Mapping):  # of a group, the name of its file is not kept
            found.append(f"{key}={value} is not what the search chose, {typed}")
    return found
