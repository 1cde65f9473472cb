"""Where data files lie, and what to say when one does not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bnnbench.errors import DataError


def data_root(root: str | None = None) -> Path:
    """Return the folder of all datasets: `root` if given, else ``$BNNBENCH_DATA``, else the user's cache folder."""
    if root:
        return Path(root).expanduser()
    if named := os.environ.get("BNNBENCH_DATA"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "bnnbench"


def missing(name: str, files: str, folder: Path) -> DataError:
    """Return the error for `files` of dataset `name` not found in `folder`."""
    return DataError(
        f"{name}: no {files} in {folder}.\n"
        f"Fetch it with `bnnbench data fetch {name}`, or set BNNBENCH_DATA (or data.root=…) to the folder that has it."
    )


def broken(name: str, path: Path, what: str) -> DataError:
    """Return the error for a file of dataset `name` that is there but wrong; `what` says expected and found."""
    return DataError(f"{name}: {path}: {what}\nFetch it again with `bnnbench data fetch {name}`.")


def find_file(name: str, folder: Path, candidates: Sequence[str]) -> Path:
    """Return the first of `candidates` that is a file in `folder`.

    Raises:
        DataError: there is none; says where it looked and how to get it.
    """
    for candidate in candidates:
        if (folder / candidate).is_file():
            return folder / candidate
    raise missing(name, " or ".join(candidates), folder)
