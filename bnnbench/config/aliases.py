"""YAML aliases of aliases: a small file of a user's that stands for more values than memory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bnnbench.errors import ConfigError

LARGEST_YAML = 100_000  # values of a user's file


def refuse_bombs(folder: Path) -> None:
    """Raise ConfigError if a yaml file below `folder` has aliases of aliases that stand for more than memory holds."""
    import yaml

    for path in sorted(folder.rglob("*.yaml")):
        try:
            text = path.read_text("utf-8") if path.is_file() else ""
            size = _size_of(yaml.compose(text), {}) if "*" in text and "&" in text else 0
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):  # whoever reads it says so
            continue
        if size > LARGEST_YAML:
            raise ConfigError(f"{path}: its aliases stand for {size} values. Write out what is needed.")


def _size_of(node: Any, known: dict[int, int]) -> int:
    """Return how many values a node of YAML has when its aliases are written out."""
    if id(node) not in known:
        known[id(node)] = 0  # of one that holds itself
        parts = getattr(node, "value", None)
        children = parts if isinstance(parts, list) else []
        flat = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_size_of(part, known) for part in flat)
    return known[id(node)]
