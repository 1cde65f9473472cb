"""Renamed keys: an old name is accepted, and answered with one line that gives the new one.

Old words come from the command line, from yaml files of the user, and from the config.yaml of runs that an earlier
version recorded. To rename a key, add a line to `RENAMED`.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Renamed(NamedTuple):
    """A key that has another name now.

    Attributes:
        old, new: dotted keys; what stands below an old key moves with it.
        applies: resolved configuration → whether the old word means this key there; None: it always does. An option of
            a plug-in of the user may have the same name.
    """

    old: str
    new: str
    applies: Callable[[Mapping[str, Any]], bool] | None = None


def _has(section: str, *names: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return whether the `name` of a dotted `section` is one of `names`."""
    return lambda raw: _get(raw, f"{section}.name") in names


RENAMED = (
    Renamed("method.update", "method.optimizer"),
    Renamed("method.noise", "method.noise_on"),
    Renamed("method.layers.p", "method.layers.keep", _has("method.layers", "dropout", "gaussian_dropout")),
    Renamed("method.layers.input.p", "method.layers.input.keep", _has("method.layers", "dropout", "gaussian_dropout")),
    Renamed("method.layers.noise", "method.layers.kind", _has("method.layers", "vd", "gaussian_dropout")),
    Renamed("method.layers.input.noise", "method.layers.input.kind", _has("method.layers", "vd", "gaussian_dropout")),
    Renamed("head", "task.head"),
    Renamed("schedule.gamma", "schedule.power", _has("schedule", "polynomial")),
)


# Keys that earlier versions did not have, and the value by which runs go on as they did.
ADDED: dict[str, Any] = {"task.name": "auto", "task.head": "auto", "eval.metrics": [], "random": "torch"}
ALWAYS = tuple(entry for entry in RENAMED if entry.applies is None)


def current_key(key: str, entries: Sequence[Renamed] = RENAMED) -> str:
    """Return the present name of a dotted `key`."""
    for entry in entries:
        if key == entry.old or key.startswith(f"{entry.old}."):
            return current_key(entry.new + key.removeprefix(entry.old), entries)
    return key


def tell_of(words: Iterable[str], entries: Sequence[Renamed] = RENAMED) -> None:
    """Print the new name for each of `entries` whose old name is among `words`, keys or overrides."""
    keys = [re.split(r"[^\w.]", word.lstrip("+~"), maxsplit=1)[0] for word in words]
    _tell([e for e in entries if any(key == e.old or key.startswith(f"{e.old}.") for key in keys)])


def current_overrides(overrides: Sequence[str], entries: Sequence[Renamed] = RENAMED) -> list[str]:
    """Return `overrides` with every old key of `entries` in its present name, also behind ``+``, ``++`` and ``~``."""
    found = []
    for override in overrides:
        sign, key, rest = re.fullmatch(r"([+~]*)([\w.]*)(.*)", override, re.DOTALL).groups()  # type: ignore[union-attr]
        found.append(f"{sign}{current_key(key, entries)}{rest}")
    return found


def current_config(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested configuration `raw` with every old key in its present place, and those of `ADDED`.

    `raw` is not changed. If both names are present the old one counts: the new one then holds only its default.
    """
    config = copy.deepcopy(dict(raw))
    moved = []
    for entry in RENAMED:
        found = _get(config, entry.old, _ABSENT)
        if found is _ABSENT or (entry.applies is not None and not entry.applies(config)):
            continue
        *path, last = entry.old.split(".")
        del _get(config, ".".join(path), config)[last]
        *path, last = entry.new.split(".")
        place = config
        for part in path:
            place = place.setdefault(part, {})
        place[last] = _merged(place.get(last), found)
        moved.append(entry)
    _tell(moved)
    for key, value in ADDED.items():
        *path, last = key.split(".")
        place = config
        for part in path:
            place = place.setdefault(part, {})
        if isinstance(place, dict):
            place.setdefault(last, copy.copy(value))
    return config


_told: set[str] = set()


def _tell(entries: Iterable[Renamed]) -> None:
    """Print the new names for old ones in one line, each once in a process."""
    news = [entry for entry in entries if entry.old not in _told]
    _told.update(entry.old for entry in news)
    if news:
        words = ", ".join(f"{entry.old} is called {entry.new} now" for entry in news)
        print(f"note: {words}", file=sys.stderr, flush=True)


_ABSENT = object()


def _get(config: Any, key: str, default: Any = None) -> Any:
    for part in key.split(".") if key else ():
        if not isinstance(config, Mapping) or part not in config:
            return default
        config = config[part]
    return config


def _merged(under: Any, over: Any) -> Any:
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}
    return over
