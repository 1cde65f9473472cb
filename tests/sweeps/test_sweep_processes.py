"""How many processes a sweep takes, and what each of them may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fates import QUICK
from support.records import numbers

from bnnbench.experiment.machine import SHARE
from bnnbench.sweep.jobs import Job
from bnnbench.sweep.launchers.local import Local, usable_cores


@pytest.fixture
def processes(monkeypatch):
    """Return what the launcher takes for runs with these devices and threads, on a machine of 8 cores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def taken(n_jobs="auto", devices=("auto",) * 20, threads="auto", gpus=()):
        monkeypatch.setattr("bnnbench.sweep.launchers.local.usable_cores", lambda: 8)
        monkeypatch.setattr("bnnbench.sweep.launchers.local.visible_gpus", lambda: list(gpus))
        launcher = Local(n_jobs)
        jobs = [Job((), {"device": device, "threads": threads}, "", Path(str(i))) for i, device in enumerate(devices)]
        launcher.start(jobs)
        environments = [slot.environment for slot in launcher._pool]
        launcher.close()
        return environments

    return taken


def share(threads):
    """The environment of a process: so many threads, by nobody's choice."""
    return {"OMP_NUM_THREADS": str(threads), SHARE: "1"}


def test_the_cores_are_divided_among_the_processes(processes):
    assert processes() == [share(1)] * 8
    assert processes(3) == [share(2)] * 3
    assert processes(devices=["cpu"] * 2) == [share(4)] * 2  # no more processes than runs
    assert processes(16) == [share(1)] * 16


def test_threads_that_were_asked_for_are_left_and_leave_room_for_fewer_processes(processes, monkeypatch):
    assert len(processes(threads=4)) == 2
    assert len(processes(3, threads=4)) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert processes(2) == [{}] * 2


def test_each_process_sees_one_gpu(processes):
    seen = [environment["CUDA_VISIBLE_DEVICES"] for environment in processes(gpus=["2", "5"])]
    assert seen == ["2", "5"]
    assert [e["CUDA_VISIBLE_DEVICES"] for e in processes(4, gpus=["2", "5"])] == ["2", "5", "2", "5"]
    assert len(processes(devices=["cpu"] * 20, gpus=["0"])) == 8
    named = processes(devices=["cuda:1", "cuda:0", "auto"], gpus=["0", "1"])  # the runs choose for themselves
    assert [e.get("CUDA_VISIBLE_DEVICES") for e in named] == [None, None]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_in_a_worker_is_the_run_that_it_would_be_alone(jobs, sweep, manifests, here, monkeypatch):
    seeds = f"seed={','.join(map(str, range(jobs)))}"
    swept = sweep(*QUICK[:4], "method=psgld", seeds, "name=swept", "--jobs", str(jobs))
    assert swept.exit_code == 0, swept.stderr
    assert f"{jobs} at a time" in swept.stdout
    share = max(1, usable_cores() // jobs)
    assert [m["threads"] for m in manifests()] == [share] * jobs  # threads: auto
    monkeypatch.setenv("OMP_NUM_THREADS", str(share))
    alone = sweep(*QUICK[:4], "method=psgld", seeds, "name=alone", "hydra/launcher=basic")
    assert alone.exit_code == 0, alone.stderr
    for folder in here.glob("results/swept/*-psgld-*"):
        assert numbers(folder) == numbers(here / "results" / "alone" / folder.name)
