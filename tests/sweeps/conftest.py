"""Sweeps in an empty folder: in this process, which has torch already, or as a user starts them."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fates import FATEFUL, members
from typer.testing import CliRunner, Result

from bnnbench.sweep.jobs import Job, Outcome, Status
from bnnbench.sweep.launchers.base import FuturesLauncher


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder, with a network of theirs: model=fateful model.fate=…."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").touch()
    (tmp_path / "theirs" / "fateful.py").write_text(FATEFUL)
    (tmp_path / "my_conf" / "model").mkdir(parents=True)
    (tmp_path / "my_conf" / "model" / "fateful.yaml").write_text(
        "name: theirs.fateful\nlabel: Fateful\ninit: torch\nfate: well\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # bnnbench adds the working directory
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # a worker's share of the cores is part of what is tested
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "theirs"]:
        del sys.modules[name]


@pytest.fixture
def sweep(here: Path, digits_read_once: None) -> Iterator[Callable[..., Result]]:
    """Return words → how the sweep `bnnbench run -m <words>` ended and what it said; its parent is this process."""
    from bnnbench.cli.app import app

    def go(*words: str) -> Result:
        result = CliRunner().invoke(app, ["run", "-m", *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    handlers = list(logging.root.handlers)
    yield go
    logging.root.handlers[:] = handlers  # Hydra's write to a stream that ends with the test


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
    return lambda: [json.loads(path.read_text()) for path in sorted(here.glob("results/*/*/manifest.json"))]
