"""Which settings of recorded runs tell them apart: those with an effect, and the labels that somebody gave them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bnnbench.config.effect import not_compared, within, without_effect
from bnnbench.store import sources
from bnnbench.store.frame import Run, comparable, flatten

FILES = "dataset.files"  # stands for data and code that were read, where runs recorded them


def with_sources(run: Run) -> Mapping[str, Any]:
    """Return the configuration of `run`, and under `FILES` a digest of the data and code that it read."""
    read = sources.digest(run.manifest)
    dataset = run.config.get("dataset")
    if read is None or not isinstance(dataset, Mapping):
        return run.config
    return {**run.config, "dataset": {**dataset, "files": read}}


def telling(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, by dotted key, that make runs of the configuration `config` one line of a figure."""
    idle = _idle(config)
    return {key: value for key, value in flatten(config).items() if not _is_idle(key, idle)}


def differing(configs: Sequence[Mapping[str, Any]], without: Iterable[str] = ()) -> list[str]:
    """Return the dotted keys, but for those of `without`, by which the configurations can be told apart.

    A key is compared among those configurations in which it has an effect. Of these one may lack it, being older than
    the key; that differs from any value.
    """
    flat = [(flatten(config), _idle(config)) for config in configs]
    found = []
    for key in dict.fromkeys(key for settings, _ in flat for key in settings if key not in without):
        values = {comparable(settings.get(key, "missing")) for settings, idle in flat if not _is_idle(key, idle)}
        if key == FILES:  # a run that recorded none may have read the same
            values.discard(comparable("missing"))
        if len(values) > 1:
            found.append(key)
    return found


def _idle(config: Mapping[str, Any]) -> frozenset[str]:
    return without_effect(config) | not_compared()


def _is_idle(key: str, idle: frozenset[str]) -> bool:
    return within(key, idle) and not key.endswith(".label")
