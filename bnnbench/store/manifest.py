"""manifest.json: what happened to a run, and on which machine."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from bnnbench.store import files
from bnnbench.store.schema import SCHEMA, schema_of

NAME = "manifest.json"


class RunStatus(StrEnum):
    """How far a run came."""

    RUNNING = "running"  # or killed: nobody was left to say so
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # by the user; it resumes


class Manifest(dict[str, Any]):
    """The facts of one run, by name; attributes are those that readers ask for, with a default where one is missing."""

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Return the manifest in `folder`; an empty one where there is none, or none to be trusted.

        Raises:
            BnnbenchError: a later version of bnnbench has written it.
        """
        path = folder / NAME
        try:
            text = path.read_text("utf-8") if path.is_file() else "null"  # a pipe would keep us waiting
            content = json.loads(text, parse_int=_whole)
        except (OSError, ValueError, RecursionError):  # killed at the wrong instant
            return cls()
        if not isinstance(content, dict):
            return cls()
        schema_of(content, path)
        return cls(content)

    def write(self, folder: Path) -> None:
        """Replace the manifest in `folder`."""
        content = {"schema": SCHEMA, **{key: value for key, value in self.items() if key != "schema"}}
        files.write(folder / NAME, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")

    @property
    def of_a_run(self) -> bool:
        """Whether a run of bnnbench has written it, whatever has become of the other files."""
        versions = self.get("versions")
        return self.status is not None and isinstance(versions, dict) and "bnnbench" in versions

    @property
    def status(self) -> str | None:
        """One of `RunStatus`; None without a manifest."""
        return None if self.get("status") is None else str(self["status"])

    @property
    def finished(self) -> bool:
        return self.status == RunStatus.FINISHED

    @property
    def iterations(self) -> int | None:
        """How many steps the run makes in all."""
        value = self.get("iterations")
        return value if isinstance(value, int) else None

    @property
    def commit(self) -> str | None:
        """The commit of the source, with ``+`` if files differed from it."""
        value = self.get("git_commit")
        return value if isinstance(value, str) else None


def _whole(digits: str) -> int | float:
    """Return a whole number, as a real one where it is too large to be computed with."""
    return int(digits) if len(digits) < 300 else float(digits)
