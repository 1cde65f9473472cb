"""The command line, called in this process: torch is then imported once for all tests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import QUICK
from typer.testing import CliRunner, Result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: whatever a command leaves lies there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def bnnbench(here: Path, digits_read_once: None) -> Iterator[Callable[..., Result]]:
    """Return words → result of `bnnbench <words>`; an exception that the user would see as a traceback is raised."""
    from bnnbench.cli.app import app

    def call(*words: str) -> Result:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    handlers = list(logging.root.handlers)
    yield call
    logging.root.handlers[:] = handlers  # Hydra's write to a stream that ends with the test


@pytest.fixture
def quick(bnnbench: Callable[..., Result]) -> Callable[..., Result]:
    """Return words → result of a run of 28 iterations with 8 hidden units."""
    return lambda *words: bnnbench("run", *QUICK, *words)
