"""Sweeps in an empty folder: in this process, which has torch already, or as a user starts them."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import user_code
from support.cli import invoke
from support.fates import FATEFUL, members
from support.records import manifests as manifests_below
from typer.testing import Result

from bnnbench.sweep.jobs import Job, Outcome, Status
from bnnbench.sweep.launchers.base import FuturesLauncher


@pytest.fixture
def here(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder, with a network of theirs: model=fateful model.fate=…."""
    (here / "my_conf" / "model").mkdir(parents=True)
    (here / "my_conf" / "model" / "fateful.yaml").write_text(
        "name: theirs.fateful\nlabel: Fateful\ninit: torch\nfate: well\n"
    )
    monkeypatch.delenv("COLUMNS")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # a worker's share of the cores is part of what is tested
    with user_code.package(here / "theirs", fateful=FATEFUL):
        yield here


@pytest.fixture
def sweep(here: Path, digits_read_once: None) -> Callable[..., Result]:
    """Return words → how the sweep `bnnbench run -m <words>` ended and what it said; its parent is this process."""
    return functools.partial(invoke, "run", "-m")


@pytest.fixture
def planned(sweep: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[Job], str]]:
    """Return words → the jobs that a sweep would hand to its launcher, and what it said. None is run."""

    def go(*words: str) -> tuple[list[Job], str]:
        handed: list[Job] = []

        def run(self: FuturesLauncher, jobs: list[Job], watcher: Any) -> dict[Job, Outcome]:
            handed.extend(jobs)
            return {job: Outcome(Status.FINISHED) for job in jobs}

        with monkeypatch.context() as patch:
            patch.setattr(FuturesLauncher, "run", run)
            result = sweep(*words)
        assert result.exit_code == 0, result.stderr
        return handed, result.stdout

    return go


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return words → the process of `bnnbench run -m <words>`, with a process group of its own as in a terminal."""
    started = []

    def go(*words: str, **variables: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-m", "bnnbench", "run", "-m", *words],
            env={**os.environ, "PYTHONPATH": path, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield go
    for process in started:
        for one in members(process.pid):
            os.kill(one, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def manifests(here: Path) -> Callable[[], list[dict[str, Any]]]:
    """Return the manifests of all runs."""
    return functools.partial(manifests_below, here)
