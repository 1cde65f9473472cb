"""Shortcuts through the product that spare the tests time. ``BNNBENCH_TESTS_UNPATCHED=1`` takes none of them.

`make test-unpatched` runs a part of the tests so, as a user would.
"""

from __future__ import annotations

import functools
import io
import multiprocessing
import os
from typing import Any

import pytest

from support.forked import forking

TAKEN = os.environ.get("BNNBENCH_TESTS_UNPATCHED") != "1"


def read_yaml_once(patch: pytest.MonkeyPatch) -> None:
    """Keep what Hydra reads from a text: it parses the same dozen files for every command, half of its time."""
    from omegaconf import OmegaConf

    load = OmegaConf.load

    @functools.cache
    def read(text: str) -> Any:
        return OmegaConf.to_container(load(io.StringIO(text)))

    def load_once(file: Any) -> Any:
        return OmegaConf.create(read(file.read())) if hasattr(file, "read") else load(file)

    if TAKEN:
        patch.setattr(OmegaConf, "load", staticmethod(load_once))


def read_digits_once(patch: pytest.MonkeyPatch) -> None:
    """Keep the digits in memory: to unpack them is a tenth of a small run."""
    from bnnbench.data import digits

    if TAKEN:
        patch.setattr(digits, "_read", functools.cache(digits._read))


def fork_workers(patch: pytest.MonkeyPatch) -> None:
    """Let sweeps fork their worker processes: to load torch in each takes most of the time of a test."""
    if TAKEN:
        context = forking()
        patch.setattr(multiprocessing, "get_context", lambda method: context)


def run_jobs_in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Let launchers run their jobs in this process, one after the other."""
    from bnnbench.sweep.launchers.base import FuturesLauncher
    from bnnbench.sweep.launchers.worker import execute

    if TAKEN:
        patch.setattr(FuturesLauncher, "run", lambda self, jobs, observer: {job: execute(job.raw) for job in jobs})
