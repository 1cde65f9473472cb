"""How loops are compiled, and where the compiled code is kept from one process to the next."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import cfunc, njit, types

config: Any = numba.core.config  # its names come from the environment
# Products and sums may be contracted. Sums may not be reordered, so that numbers do not depend on the width of vectors,
# and NaN and infinity are not assumed away, so that a NaN stays one.
FAST = {"contract"}


def inline(function: Callable[..., Any]) -> Any:
    """Compile a function that becomes part of the loops that call it."""
    return njit(forceinline=True, error_model="numpy", fastmath=FAST)(function)


def loop(function: Callable[..., Any]) -> Any:
    """Compile a loop at its first call; it holds no lock of Python's while it runs."""
    folder = _folder()
    options: Any = {"fastmath": FAST, "error_model": "numpy", "nogil": True}
    if folder is None:
        return njit(**options)(function)
    with _cached_in(folder):
        return njit(cache=True, **options)(function)


def entry(function: Callable[..., Any]) -> Callable[[], Any]:
    """Return what compiles, when it is first called, a function of one pointer that C can call, and returns it."""

    @functools.cache
    def compiled() -> Any:
        folder = _folder()
        options: Any = {"fastmath": FAST, "error_model": "numpy"}
        signature = types.void(types.voidptr)
        if folder is None:
            return cfunc(signature, **options)(function)
        with _cached_in(folder):
            return cfunc(signature, cache=True, **options)(function)

    return compiled


@contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """Let numba keep what is declared in the block in `folder`, and other code of the process where it was."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


_chosen: list[Path | None] = []


def _folder() -> Path | None:
    """Return the folder of the compiled code, in the user's cache; None where nothing can be kept.

    Numba notices changes in the file of a loop, but not in the functions that it takes from other files: the folder's
    name is a digest of all sources. What is kept there is loaded as code, so it belongs to the user alone.
    """
    if not _chosen:
        if config.DISABLE_JIT:
            raise RuntimeError("NUMBA_DISABLE_JIT is set")
        sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
        versions = f"{numba.__version__} {sys.version}".encode()
        name = f"loops-{hashlib.sha256(sources + versions).hexdigest()[:16]}"
        folder = None
        try:
            folder = _user_cache() / "bnnbench" / name
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
            mine = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        except (OSError, RuntimeError):  # no home, or a full one: compiled anew by every process
            mine = False
        _chosen.append(folder if mine else None)
    return _chosen[0]


def _user_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".cache"
