"""What all tests share: a composed configuration, and runs small enough for seconds."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: a second thread only costs

SMALL = ("epochs=10", "members.burn_in=50", "eval.every=50", "threads=1")


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return overrides → resolved configuration, writing below the test's own folder."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    from bnnbench.compose import conf_dir

    def composed(*overrides: str) -> dict[str, Any]:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = hydra_compose("config", overrides=[f"results={tmp_path / 'results'}", *overrides])
            return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)

    return composed


@pytest.fixture
def run_small(compose: Callable[..., dict[str, Any]]) -> Callable[..., Path]:
    """Return overrides → folder of a finished run on digits with 16 hidden units, 140 iterations."""
    from rich.console import Console

    from bnnbench.run import run

    def go(*overrides: str) -> Path:
        width = () if any(o.startswith("model=") for o in overrides) else ("model.widths=[16]",)
        return run(compose(*SMALL, *width, *overrides), Console(file=io.StringIO()))

    return go
