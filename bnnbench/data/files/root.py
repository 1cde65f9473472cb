"""Where data files lie, and what to say when one does not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bnnbench.errors import ConfigError, DataError


def data_root(root: str | None = None) -> Path:
    """Return the folder of all datasets: `root` if given, else ``$BNNBENCH_DATA``, else the user's cache folder.

    Raises:
        ConfigError: it begins with the ~ of an unknown user.
    """
    named = root or os.environ.get("BNNBENCH_DATA")
    if named:
        try:
            return Path(named).expanduser()
        except RuntimeError:
            place = "the data's folder" if root else "BNNBENCH_DATA"
            raise ConfigError(f"{place}: {named} begins with the ~ of an unknown user. Write it in full.") from None
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(cache).expanduser() / "bnnbench"
    except RuntimeError:  # a user without a home: a container's. What needs no file must run, and names this place
        return Path(tempfile.gettempdir(), "bnnbench")


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
