"""Which files a loader reads: seen from outside, so that datasets need not declare them."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

_seen: ContextVar[dict[str, bool] | None] = ContextVar("seen", default=None)
NO_DATA = (".py", ".pyc", ".so", ".pth")


@contextmanager
def files_opened() -> Iterator[dict[str, bool]]:
    """Yield the absolute paths of the files that Python code opens within a ``with`` block, in order.

    Code and what is installed with packages are left out, and what the block itself writes, such as a cache; so is what
    a library opens from C alone.
    """
    _watch()
    token = _seen.set({})
    seen = _seen.get()
    assert seen is not None
    try:
        yield seen
    finally:
        _seen.reset(token)
        for path in [path for path, written in seen.items() if written or not _is_data(path)]:
            del seen[path]


@cache
def _watch() -> None:
    """Have Python report every file that it opens; once, for such a hook stays for good."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or (seen := _seen.get()) is None:
        return
    path, _, flags = arguments[:3]
    if isinstance(path, str | bytes | os.PathLike):
        place = os.path.abspath(os.fsdecode(path))
        seen[place] = seen.get(place, False) or bool(flags & (os.O_WRONLY | os.O_RDWR))


def _is_data(path: str) -> bool:
    installed = {*sysconfig.get_paths().values(), str(Path(__file__).parents[2])}
    return (
        not path.endswith(NO_DATA)
        and not any(Path(path).is_relative_to(folder) for folder in installed)
        and not Path(path).is_relative_to("/proc")
        and Path(path).is_file()
    )
