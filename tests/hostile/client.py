"""The other end of server.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bnnbench

TESTS = Path(__file__).resolve().parents[1]


class Server:
    """A process that runs cases, for a ``with`` block.

    Args:
        ready: folder for the results that cases find; made if need be.
    """

    def __init__(self, ready: Path) -> None:
        whose = Path(bnnbench.__file__).resolve().parents[1]  # the package that is tested
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(whose), str(TESTS)])}
        ready.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hostile.server", str(ready)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=ready,
            env=environment,
        )
        assert self._read() == "ready"

    def run(self, id_: str) -> dict[str, Any]:
        """Return the outcome of a case."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(id_) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server has died"
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()
