"""Standard output closed, full or read no more: the run is recorded all the same, and no folder is blamed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.records import manifests

RUN = f"'{sys.executable}' -m bnnbench run model=logistic method=sgd iterations=20 threads=1"
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_failure(closed: str, here: Path) -> None:
    done = shell(f"{RUN} {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert [manifest["status"] for manifest in manifests(here)] == ["finished"]


def test_nor_for_the_workers_of_a_sweep(here: Path) -> None:
    done = shell(f"{RUN} -m -j 2 seed=0,1 >&-")
    assert done.returncode == 0, done.stderr
    assert [manifest["status"] for manifest in manifests(here)] == ["finished"] * 2


@FULL
def test_a_full_disk_behind_standard_output_is_named(here: Path) -> None:
    done = shell(f"{RUN} > /dev/full")
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["note: standard output could not be written: No space left on device"]
    assert [manifest["status"] for manifest in manifests(here)] == ["finished"]
    unseen = shell(f"'{sys.executable}' -m bnnbench compare results > /dev/full")  # what it prints is all that it does
    assert unseen.returncode == 1
    assert "No space left on device" in unseen.stderr and len(unseen.stderr.splitlines()) == 1


def test_a_reader_that_has_gone_stops_no_run(here: Path) -> None:
    done = shell(f"{RUN} | true")
    assert done.stderr == ""
    assert [manifest["status"] for manifest in manifests(here)] == ["finished"]
