"""A package of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def package(folder: Path, **modules: str) -> Iterator[None]:
    """Write a package of these modules, and forget at the end of a ``with`` block what was imported from it.

    Args:
        folder: its place and name. Who imports it must see to ``sys.path``, which is restored at the end too.
        modules: name → source.
    """
    folder.mkdir(parents=True)
    for name, source in {"__init__": "", **modules}.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
            del sys.modules[name]
