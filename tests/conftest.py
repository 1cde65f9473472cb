"""Fixtures of all tests: a composed configuration, runs small enough for a second, a working directory."""

from __future__ import annotations

import functools
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import speed, user_code
from support.configurations import SMALL, composed

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: a second thread only costs
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in a shell's background; a run would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def yaml_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        speed.read_yaml_once(patch)
        yield


@pytest.fixture(scope="session")
def digits_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        speed.read_digits_once(patch)
        yield


@pytest.fixture(scope="module")
def forked_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        speed.fork_workers(patch)
        yield


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: whatever a command leaves lies there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def user_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return name, module=source, … → None: a package of the user's own that this test can import."""
    with ExitStack() as stack:

        def write(name: str, **modules: str) -> None:
            stack.enter_context(user_code.package(tmp_path / name, **modules))
            monkeypatch.syspath_prepend(tmp_path)

        yield write


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return overrides → resolved configuration, writing below the test's own folder."""
    return functools.partial(composed, results=tmp_path / "results")


@pytest.fixture(scope="session")
def run_small_into(digits_read_once: None) -> Callable[..., Path]:
    """Return folder of results, overrides → folder of a finished run on digits with 16 hidden units, 140 iterations."""
    from rich.console import Console

    from bnnbench.experiment.run import run

    def go(results: Path, *overrides: str) -> Path:
        width = () if any(o.startswith("model=") for o in overrides) else ("model.widths=[16]",)
        return run(composed(*SMALL, *width, *overrides, results=results), Console(file=io.StringIO()))

    return go


@pytest.fixture
def run_small(run_small_into: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Return overrides → folder of a finished run like those of `run_small_into`, below the test's own folder."""
    return functools.partial(run_small_into, tmp_path / "results")


@pytest.fixture(scope="session")
def runs_done(
    run_small_into: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, ...]], Path]:
    """Return overrides → folder of a run like those of `run_small_into`, trained once for all; not to be changed."""
    return functools.cache(lambda overrides: run_small_into(tmp_path_factory.mktemp("done"), *overrides))


@pytest.fixture
def finished(runs_done: Callable[[tuple[str, ...]], Path], tmp_path: Path) -> Callable[..., Path]:
    """Return overrides → the test's own copy of the folder of a finished run: for what is done with runs afterwards."""

    def copied(*overrides: str) -> Path:
        folder = runs_done(overrides)
        return Path(shutil.copytree(folder, tmp_path / "results" / folder.parent.name / folder.name))

    return copied
