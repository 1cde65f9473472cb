"""Settings that cannot change the numbers of a run, as declared in the yaml beside the settings' owner.

conf/config.effect.yaml belongs to conf/config.yaml and says how it is written. A plug-in's declaration lies beside its
file: ``bnnbench/layers/vd.effect.yaml``, ``mypkg/mysampler.effect.yaml``; ``_builtin.effect.yaml`` is about names that
no file of a room has. It is data: nothing is imported to read it. What is not declared counts.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bnnbench.config.composition import conf_dir
from bnnbench.config.plugins import PACKAGE
from bnnbench.errors import ConfigError

WORDS = ("always", "place", "label", "copied")
# The prefix of a plug-in's facts, the room of its file, and the setting that names it.
PLUGINS = (
    ("dataset", "data", "dataset.name"),
    ("model", "models", "model.name"),
    ("schedule", "schedules", "schedule.name"),
    ("layers", "layers", "method.layers.name"),
    ("optimizer", "samplers", "method.optimizer.name"),
    ("prior", "priors", "prior.name"),
    ("predictive", "inference/approximations", "method.predictive.name"),
)


class Declaration(NamedTuple):
    """The content of one ``*.effect.yaml``.

    Attributes:
        facts: of a plug-in, by name.
        without_effect: dotted key → one of `WORDS`, a condition, or a list of conditions.
        not_compared: keys that count, but tell no runs apart in figures and tables.
    """

    facts: Mapping[str, Any] = {}
    without_effect: Mapping[str, Any] = {}
    not_compared: Mapping[str, str] = {}


def without_effect(raw: Mapping[str, Any]) -> frozenset[str]:
    """Return the dotted keys, each standing for all below it, without effect in the resolved configuration `raw`.

    Keys that `raw` lacks, because the run was recorded before they existed, may be among them.

    Raises:
        ConfigError: a declaration beside one of the user's plug-ins is malformed.
    """
    declared = {kind: _of_plugin(room, value_at(raw, key)) for kind, room, key in PLUGINS}
    known = {**raw, "facts": {kind: declaration.facts for kind, declaration in declared.items()}}
    return frozenset(
        key
        for declaration in (_of_config(), *declared.values())
        for key, when in declaration.without_effect.items()
        if _holds(when, known)
    )


def effective(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return `raw` without the settings that have no effect in it, and without sections emptied by that."""
    idle = without_effect(raw)

    def pruned(node: Mapping[str, Any], above: str) -> dict[str, Any]:
        kept = {}
        for key, value in node.items():
            place = f"{above}{key}"
            if place in idle:
                continue
            rest = pruned(value, f"{place}.") if isinstance(value, Mapping) else value
            if rest != {} or value == {}:
                kept[key] = rest
        return kept

    return pruned(raw, "")


def declared_as(*words: str) -> frozenset[str]:
    """Return the keys of the package's own configuration declared, by one of these `WORDS`, never to have an effect."""
    return frozenset(key for key, when in _of_config().without_effect.items() if when in words)


def not_compared() -> frozenset[str]:
    """Return the keys that count but do not distinguish runs: what repeats a run, and what is recorded of it."""
    return frozenset(_of_config().not_compared)


def within(key: str, sections: Collection[str]) -> bool:
    """Whether the dotted `key` is one of `sections` or lies below one."""
    place = key
    while place and place not in sections:
        place = place.rpartition(".")[0]
    return place != ""


def value_at(raw: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted `key`, None where there is none."""
    node: Any = raw
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def canonical(value: Any) -> str:
    """Return the same text for the same setting: 1 and 1.0 are one number, however they are typed; true is another."""

    def one(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {str(key): one(below) for key, below in node.items()}
        if isinstance(node, list | tuple):
            return [one(below) for below in node]
        return int(node) if isinstance(node, float) and node.is_integer() else node

    return json.dumps(one(value), sort_keys=True)


def _holds(when: Any, known: Mapping[str, Any]) -> bool:
    """Whether one of the conditions of a key without effect is met; a word is unconditional."""
    if isinstance(when, str):
        return True
    conditions = when if isinstance(when, list) else [when]
    return any(all(_is(value_at(known, key), wanted) for key, wanted in each.items()) for each in conditions)


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and set(wanted) == {"not"}:
        return not _is(value, wanted["not"])
    choices = wanted if isinstance(wanted, list) else [wanted]
    return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices)


@functools.cache
def _of_config() -> Declaration:
    return _read(conf_dir() / "config.effect.yaml")


def _of_plugin(room: str, name: Any) -> Declaration:
    """Return the declaration beside the plug-in `name` of `room`; an empty one if there is none."""
    parts = name.split(".") if isinstance(name, str) else []
    if not parts or not all(part.isidentifier() for part in parts):
        return Declaration()
    if len(parts) == 1:
        return _of_own_plugin(room, name)
    for folder in (*sys.path, os.getcwd()):
        for path in ("/".join(parts), "/".join(parts[:-1])):  # a module, or an attribute of one
            file = Path(folder, f"{path}.effect.yaml")
            if file.is_file():
                return _read(file)
    return Declaration()


@functools.cache
def _of_own_plugin(room: str, name: str) -> Declaration:
    own = PACKAGE / room / f"{name}.effect.yaml"
    if not own.is_file() and not own.with_name(f"{name}.py").is_file():
        own = own.with_name("_builtin.effect.yaml")
    return _read(own) if own.is_file() else Declaration()


@functools.cache
def _read(file: Path) -> Declaration:
    try:
        declaration = Declaration(**yaml.safe_load(file.read_text("utf-8")))
        for key, when in declaration.without_effect.items():
            conditions = when if isinstance(when, list) else [when]
            if when not in WORDS and not all(isinstance(each, Mapping) and each for each in conditions):
                raise ValueError(f"{key}: {when}")
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file}: not a declaration of what has no effect ({' '.join(str(error).split())}). "
            "conf/config.effect.yaml says how one is written."
        ) from None
    return declaration
