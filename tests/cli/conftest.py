"""The command line in an empty working directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import invoke
from support.configurations import QUICK
from typer.testing import Result


@pytest.fixture
def bnnbench(here: Path, digits_read_once: None) -> Callable[..., Result]:
    """Return words → result of `bnnbench <words>`."""
    return invoke


@pytest.fixture
def quick(bnnbench: Callable[..., Result]) -> Callable[..., Result]:
    """Return words → result of a run of 28 iterations with 8 hidden units."""
    return lambda *words: bnnbench("run", *QUICK, *words)
