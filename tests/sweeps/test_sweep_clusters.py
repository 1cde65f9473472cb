"""The launchers beyond worker processes: the same outcomes, the same words, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
from importlib.util import find_spec

import pytest
from support.fates import OURS, members, until

ENGINES = [
    pytest.param(
        ("hydra/launcher=ray",),
        id="ray",
        marks=pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    ),
    pytest.param(
        ("hydra/launcher=slurm", "hydra.launcher.cluster=local"),
        id="submitit",
        marks=pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed"),
    ),
    pytest.param(
        ("hydra/launcher=slurm",),
        id="slurm",
        marks=pytest.mark.skipif(
            find_spec("submitit") is None or shutil.which("sbatch") is None, reason="no submitit, or no Slurm here"
        ),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_failures_cost_their_own_runs_only(engine, start, manifests, here):
    process = start(*OURS, *engine, "model.fate=bug,early,killed,well,well2")
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "3 of 5 runs failed" in errors
    assert "RuntimeError: a bug" in errors
    assert sorted(m["status"] for m in manifests()) == ["failed"] * 3 + ["finished"] * 2
    assert len(list(here.glob("results/*/*/error.txt"))) == 3
    again = start(*OURS, *engine, "model.fate=well,well2")
    said, errors = again.communicate(timeout=300)
    assert (again.returncode, errors) == (0, "")
    assert "2 runs, 2 finished before" in said


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_leaves_runs_that_resume(engine, start, manifests, here):
    words = (*OURS, *engine, "model.fate=waits", "epochs=4", "checkpoint_every=0", "seed=0,1,2")
    process = start(*words)
    until(lambda: list(here.glob("results/*/*/checkpoint.pt")), process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "interrupted" in said
    until(lambda: not members(process.pid))
    (here / "go").touch()
    again = start(*words)
    said, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "resumed" in said
    assert [m["status"] for m in manifests()] == ["finished"] * 3
