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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from bnnbench.config.user_code import called
from bnnbench.errors import ConfigError, did_you_mean

T = TypeVar("T")

# Packages of the user's that may be imported; None: whatever is named, for it is the user who names it.
_allowed: ContextVar[tuple[str, ...] | None] = ContextVar("allowed", default=None)
PACKAGE = Path(__file__).resolve().parents[1]


@contextmanager
def only_code_of(packages: Sequence[str]) -> Iterator[None]:
    """Import user code within a ``with`` block only from `packages`: there, names come from files.

    Args:
        packages: dotted names of packages or modules; each allows what lies below it.
    """
    token = _allowed.set(tuple(packages))
    try:
        yield
    finally:
        _allowed.reset(token)


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


def function(folder: str, name: str, attribute: str, takes: Sequence[str]) -> Callable[..., Any]:
    """Return the function that `name` stands for: `attribute` of its module, or the dotted name itself.

    Args:
        folder: of the package's own plug-ins.
        name: of a file there, of a module of the user's, or of a function in one.
        attribute: the function's name in a module.
        takes: the first parameters that the protocol of the room asks for, by name.

    Raises:
        ConfigError: no such plug-in; a module without the function; something with other parameters.
    """
    found = find(folder, name)
    if isinstance(found, ModuleType):
        if not callable(getattr(found, attribute, None)):
            raise ConfigError(f"{folder}: '{name}' ({found.__name__}) has no function '{attribute}'.")
        found = getattr(found, attribute)
    try:
        parameters = list(inspect.signature(found).parameters)
    except (TypeError, ValueError):  # no function, or one of C without a signature
        parameters = []
    if parameters[: len(takes)] != list(takes):
        given = f"its parameters are ({', '.join(parameters)})" if parameters else "it is no such function"
        raise ConfigError(f"{folder}: '{name}' must be a function {attribute}({', '.join(takes)}, …); {given}.")
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
    allowed = _allowed.get()
    if allowed is not None and not any(name == one or name.startswith(f"{one}.") for one in allowed):
        package = name.partition(".")[0] or name
        raise ConfigError(
            f"{name}: named in a file, so it is not imported. If you trust that code, name it yourself: "
            f"--allow-code {package} (in Python allow_code=['{package}'])."
        )
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{name}: no dotted name: names of packages, modules and functions, with dots between them.")
    if os.getcwd() not in sys.path:  # a console script, unlike `python -m`, does not look in the working directory
        sys.path.append(os.getcwd())
    try:
        with called(f"{name}: importing it"):
            return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        # Only "there is no such module" leads on to its parent; an import that fails inside it is for the user to see.
        if not (missing.name and (name == missing.name or name.startswith(missing.name + "."))):
            raise ConfigError(f"{name}: importing it failed: {missing}") from missing
    module, _, attribute = name.rpartition(".")
    try:
        with called(f"{name}: importing it"):
            imported = importlib.import_module(module)
        return getattr(imported, attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{name}: not found ({error}). Is its folder the working directory or on PYTHONPATH?"
        ) from error
