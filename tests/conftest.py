"""What all tests share: a composed configuration, and runs small enough for seconds."""

from __future__ import annotations

import copy
import functools
import io
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import forking

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: a second thread only costs
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in a shell's background; a run would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

SMALL = ("epochs=10", "members.burn_in=50", "eval.every=50", "threads=1")


@functools.cache
def composed_choices(*choices: str) -> Any:
    """Return Hydra's composition of the files that these overrides choose, before any value is set."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from bnnbench.config.composition import conf_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra_compose("config", overrides=list(choices))


@functools.cache
def parsed(override: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(override)


@pytest.fixture(scope="session", autouse=True)
def yaml_read_once() -> Iterator[None]:
    """Keep what Hydra reads from a text: it parses the same dozen files for every command, a fifth of its time."""
    from omegaconf import OmegaConf

    load = OmegaConf.load

    @functools.cache
    def read(text: str) -> Any:
        return OmegaConf.to_container(load(io.StringIO(text)))

    def load_once(file: Any) -> Any:
        return OmegaConf.create(read(file.read())) if hasattr(file, "read") else load(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(load_once))
        yield


@pytest.fixture(scope="session")
def digits_read_once() -> None:
    """Keep the digits in memory: to unpack them is a tenth of a small run."""
    from bnnbench.data import digits

    digits._read = functools.cache(digits._read)


@pytest.fixture(scope="session")
def compose_into(digits_read_once: None) -> Callable[..., dict[str, Any]]:
    """Return folder of results, overrides → resolved configuration.

    Files are composed once for every choice of them. Values are then set by Hydra's own code, as it sets them itself.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from omegaconf import OmegaConf

    from bnnbench.config.hydra_errors import GROUPS

    def composed(results: Path, *overrides: str) -> dict[str, Any]:
        chosen = [o for o in overrides if o.partition("=")[0] in GROUPS]
        values = [o for o in overrides if o not in chosen]
        cfg = copy.deepcopy(composed_choices(*chosen))
        cfg.results = str(results)
        ConfigLoaderImpl._apply_overrides_to_config([parsed(o) for o in values], cfg)
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)

    return composed


@pytest.fixture(scope="session")
def run_small_into(compose_into: Callable[..., dict[str, Any]]) -> Callable[..., Path]:
    """Return folder of results, overrides → folder of a finished run on digits with 16 hidden units, 140 iterations."""
    from rich.console import Console

    from bnnbench.experiment.run import run

    def go(results: Path, *overrides: str) -> Path:
        width = () if any(o.startswith("model=") for o in overrides) else ("model.widths=[16]",)
        return run(compose_into(results, *SMALL, *width, *overrides), Console(file=io.StringIO()))

    return go


@pytest.fixture
def compose(compose_into: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return overrides → resolved configuration, writing below the test's own folder."""
    return functools.partial(compose_into, tmp_path / "results")


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


@pytest.fixture(scope="module")
def forked_workers() -> Iterator[None]:
    """Let sweeps fork their worker processes, see forked.py: to load torch in each took most of the time of a test."""
    context = forking()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda method: context)
        yield
