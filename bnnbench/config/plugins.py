"""Plug-ins (samplers, models, datasets, …) are found by name: a file of the package, or a dotted name of the user's.

No registry: ``psgld`` in the folder ``samplers`` is ``bnnbench/samplers/psgld.py``. A name with a dot
(``mypkg.mysampler`` or ``mypkg.nets.wide``) is imported from the user's own code, the working directory included.
Files whose name starts with an underscore are helpers, not plug-ins.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from bnnbench.errors import ConfigError, did_you_mean

T = TypeVar("T")

PACKAGE = Path(__file__).resolve().parents[1]


def names(folder: str) -> list[str]:
    """Return the names of the package's own plug-ins in `folder`: ``samplers``, ``models``, ``data``, ``schedules``."""
    return sorted(p.stem for p in (PACKAGE / folder).glob("*.py") if not p.stem.startswith("_"))


def find(folder: str, name: str) -> ModuleType | Callable[..., Any]:
    """Return the module ``bnnbench.<folder>.<name>``, or what a dotted `name` stands for (module or attribute).

    Raises:
        ConfigError: no such file, or the user's module does not import.
    """
    if "." in name:
        return _import_dotted(name)
    if name not in names(folder):
        raise ConfigError(
            f"{folder}: no '{name}'.{did_you_mean(name, names(folder))} Your own code goes by a dotted name."
        )
    return importlib.import_module(f"bnnbench.{folder.replace('/', '.')}.{name}")


def function(folder: str, name: str, attribute: str) -> Callable[..., Any]:
    """Return the callable that `name` stands for: `attribute` of its module, or the dotted name itself if callable."""
    found = find(folder, name)
    if isinstance(found, ModuleType):
        if not callable(getattr(found, attribute, None)):
            raise ConfigError(f"{folder}: '{name}' ({found.__name__}) has no function '{attribute}'.")
        return getattr(found, attribute)
    return found


def find_class(folder: str, name: str, base: type[T], *, where: str) -> type[T]:
    """Return the subclass of `base` that the plug-in `name` defines, or the class that a dotted `name` stands for.

    Args:
        folder: of the package's own plug-ins.
        name: of a file there, of a module of the user's, or of a class in one.
        base: the protocol of the room.
        where: the key of the configuration, for messages.

    Raises:
        ConfigError: no such plug-in; a module that defines none or several; a class of another kind.
    """
    if "." not in name and name not in class_names(folder, base):
        raise ConfigError(
            f"{where}={name}: no such choice.{did_you_mean(name, class_names(folder, base))} "
            "Your own goes by a dotted name: module or module.Class."
        )
    found = find(folder, name)
    if isinstance(found, ModuleType):
        classes = classes_in(found, base)
        if len(classes) != 1:
            raise ConfigError(
                f"{where}={name}: the module defines {len(classes)} subclasses of {base.__name__}, not one. "
                f"Name the class: {name}.<Class>."
            )
        return classes[0]
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ConfigError(f"{where}={name}: it is no subclass of {base.__module__}.{base.__name__}.")
    return found


def class_names(folder: str, base: type) -> list[str]:
    """Return the names of the files of `folder` that define a subclass of `base`."""
    return [name for name in names(folder) if classes_in(find(folder, name), base)]


def classes_in(module: Any, base: type[T]) -> list[type[T]]:
    """Return the public, concrete subclasses of `base` that `module` itself defines."""
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value is not base
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not inspect.isabstract(value)
    ]


def _import_dotted(name: str) -> ModuleType | Callable[..., Any]:
    if os.getcwd() not in sys.path:  # a console script, unlike `python -m`, does not look in the working directory
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        # Only "there is no such module" leads on to its parent; an import that fails inside it is for the user to see.
        if not (missing.name and (name == missing.name or name.startswith(missing.name + "."))):
            raise ConfigError(f"{name}: importing it failed: {missing}") from missing
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{name}: not found ({error}). Is its folder the working directory or on PYTHONPATH?"
        ) from error
