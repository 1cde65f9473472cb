"""A sweep that is stopped: by Ctrl-C once, twice, or by its own death. Nothing is left running, everything resumes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import filelock
import pytest
from support.fates import OURS, members, until

pytestmark = pytest.mark.usefixtures("forked_workers")
LONG = (
    *(word for word in OURS if not word.startswith("epochs=")),
    "epochs=1000000",
    "checkpoint_every=0",
    "-j2",
    "seed=0,1,2",
)


@pytest.fixture
def running(start, here):
    """Return the process of a sweep of three long runs, of which two have made checkpoints."""

    def go(*words):
        process = start(*LONG, *words)
        until(lambda: len(list(here.glob("results/*/*/checkpoint.pt"))) == 2, process)
        return process

    return go


def test_ctrl_c_leaves_runs_that_resume_and_no_worker(sweep, planned, manifests, here):
    ended = threading.Event()
    workers = []

    def terminal():
        """Do what a terminal does at Ctrl-C, once both workers have made checkpoints: to the sweep and to them."""
        while len(list(here.glob("results/*/*/checkpoint.pt"))) < 2:
            if ended.wait(0.05):
                return
        workers.extend(multiprocessing.active_children())
        for one in (os.getpid(), *(worker.pid for worker in workers)):
            os.kill(one, signal.SIGINT)

    thread = threading.Thread(target=terminal)
    thread.start()
    try:
        swept = sweep(*LONG)
    finally:
        ended.set()
        thread.join()
    assert (swept.exit_code, swept.stderr) == (130, "interrupted\n")
    assert len(workers) == 2
    assert not multiprocessing.active_children()
    they_stopped(swept.stdout, planned, manifests, here)


def they_stopped(said, planned, manifests, here):
    assert [m["status"] for m in manifests()] == ["interrupted"] * 2
    table = said[said.index("sweep") :]
    assert "interrupted │    2 │" in table
    assert "not started │    1 │" in table
    stopped = max(int(p.read_text().splitlines()[-1].partition(",")[0]) for p in here.glob("results/*/*/metrics.csv"))
    assert stopped >= 10
    assert len(planned(*LONG)[0]) == 3
    assert not list(here.glob("results/*/*/*.partial"))


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_leaves_runs_that_resume_and_no_process(running, planned, manifests, here):
    process = running()
    assert len(members(process.pid)) >= 3  # the sweep, and a process for each run
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    said, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (130, "interrupted\n")
    until(lambda: not members(process.pid))
    they_stopped(said, planned, manifests, here)


@pytest.mark.slow
def test_ctrl_c_twice_kills_a_run_that_does_not_stop(start, here):
    process = start(*OURS, "model.fate=stubborn", "seed=0,1", "-j1")
    until(lambda: (here / "stubborn").exists(), process)
    os.killpg(process.pid, signal.SIGINT)
    assert "stopping" in _line_with(process.stdout, "stopping")
    assert len(members(process.pid)) >= 2
    os.killpg(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (130, "interrupted\n")
    until(lambda: not members(process.pid))
    assert "interrupted" in said


def _line_with(stream, word):
    return next(line for line in stream if word in line)


@pytest.mark.slow
def test_a_killed_sweep_takes_its_workers_along_and_is_resumed_by_the_next(running, start, manifests, here):
    process = running("epochs=20", "model.fate=waits")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not members(process.pid))
    (here / "go").touch()
    again = start(*LONG, "epochs=20", "model.fate=waits")
    said, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "resumed  │    2 │" in said
    assert "finished │    1 │" in said
    assert [m["status"] for m in manifests()] == ["finished"] * 3


@pytest.mark.slow
def test_two_sweeps_at_once_do_every_run_once(start, manifests, here):
    words = (*OURS, "model.fate=waits", "seed=0,1", "-j2")
    first = start(*words)
    until(lambda: [m["status"] for m in manifests()] == ["running"] * 2, first)
    second = start(*words)
    said, errors = second.communicate(timeout=300)
    assert second.returncode == 75
    assert errors == "error: 2 of 2 runs are in use by another process; try again later.\n"
    assert "in use │    2 │" in said
    (here / "go").touch()
    said, errors = first.communicate(timeout=300)
    assert (first.returncode, errors) == (0, "")
    assert [m["status"] for m in manifests()] == ["finished"] * 2
    assert not list(here.glob("results/*/*/error.txt"))


def test_a_run_that_another_process_writes_is_left_to_it(sweep, planned, manifests):
    jobs, _ = planned(*OURS, "seed=0,1")
    jobs[0].path.mkdir(parents=True)
    with filelock.FileLock(jobs[0].path / ".lock"):
        swept = sweep(*OURS, "seed=0,1", "-j1")
    assert swept.exit_code == 75
    assert swept.stderr == "error: 1 of 2 runs are in use by another process; try again later.\n"
    assert "[1/2] in use digits-fateful-sgd-" in swept.stdout
    assert [m["status"] for m in manifests()] == ["finished"]
