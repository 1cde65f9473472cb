"""The command line, called in this process: torch is then imported once for all tests."""

from __future__ import annotations

import logging
from pathlib import Path

from typer.testing import CliRunner, Result


def invoke(*words: str) -> Result:
    """Return the result of ``bnnbench <words>``; what the user would see as a traceback is raised."""
    from bnnbench.cli.app import app

    handlers = list(logging.root.handlers)
    try:
        result = CliRunner().invoke(app, list(words))
    finally:
        logging.root.handlers[:] = handlers  # Hydra's write to a stream that ends with the call
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def left_behind(folder: Path) -> list[str]:
    """Return every file and folder below `folder`."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
