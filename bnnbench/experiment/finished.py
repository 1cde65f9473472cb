"""Runs finished before: told from their records alone, where these leave nothing to check, and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from bnnbench import __version__
from bnnbench.errors import BnnbenchError
from bnnbench.store import sources
from bnnbench.store.folder import named_path, run_path
from bnnbench.store.manifest import Manifest


def finished_before(raw: Mapping[str, Any]) -> Path | None:
    """Return the folder of the finished run of the resolved configuration `raw`, if its record says all there is to it.

    That is so where this version of bnnbench has checked and run the same configuration to the letter, no code of the
    user's is named in it, and its sources are what they were. None says nothing: there may be a finished run all the
    same.
    """
    if raw.get("force") is not False or raw.get("chosen") or sources.names_code(raw):
        return None
    try:
        path = run_path(raw)
        manifest = Manifest.read(path)
        if path != named_path(raw) or not manifest.finished or not _by_this_version(manifest):
            return None
        recorded = (path / "config.yaml").read_text("utf-8")
    except (BnnbenchError, OSError, ValueError, KeyError, TypeError):  # what is wrong with it is for others to say
        return None
    settings = {key: value for key, value in raw.items() if key != "chosen"}
    same = any(recorded == as_recorded({**settings, "force": force}) for force in (False, True))
    return path if same else None


def as_recorded(settings: Mapping[str, Any]) -> str:
    """Return config.yaml of a run with these `settings`."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)


def say_finished(path: Path, console: Console) -> None:
    """Say that the run at `path` is left as it is."""
    console.print(f"finished already: {path} (--force runs it anew)", soft_wrap=True, highlight=False)


def _by_this_version(manifest: Manifest) -> bool:
    versions = manifest.get("versions")
    return isinstance(versions, Mapping) and versions.get("bnnbench") == __version__
