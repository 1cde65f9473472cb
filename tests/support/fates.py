"""What the tests of sweeps share beside fixtures: quick runs, a network that misbehaves, and who is running."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import configurations

QUICK = (*configurations.QUICK, "method=sgd")
OURS = ("--config-dir", "my_conf", "model=fateful", *QUICK[1:])

# A network that misbehaves as its option says, in a step where its run has a folder, and one that `waits` a checkpoint.
FATEFUL = '''
"""Two dense layers that may misbehave."""
import os, resource, signal, sys, time
from math import prod
from pathlib import Path
from torch import nn

LARGEST = resource.RLIMIT_FSIZE  # no file may grow beyond: the system then refuses as it does when the disk is full


class Fateful(nn.Sequential):
    def forward(self, x):
        if self.training:
            self.passes += 1
        if self.passes == (25 if self.fate == "waits" else 5):
            befall(self.fate)
        output = super().forward(x)
        return output * float("nan") if self.fate == "diverges" and self.training and self.passes > 5 else output


def befall(fate):
    if fate == "killed":
        print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "exits":
        sys.exit("enough")
    if fate == "bug":
        raise RuntimeError("a bug")
    if fate == "full":
        resource.setrlimit(LARGEST, (1, resource.getrlimit(LARGEST)[1]))
    if fate == "waits":
        while not Path("go").exists():
            time.sleep(0.02)
    if fate == "stubborn":
        Path("stubborn").touch()
        while True:
            try:
                time.sleep(0.02)
            except KeyboardInterrupt:
                pass
    if fate == "told":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


def build(in_shape, outputs, *, fate: str = "well", units: int = 8):
    if fate == "early":
        os._exit(3)
    hard = resource.getrlimit(LARGEST)[1]
    resource.setrlimit(LARGEST, (hard, hard))
    network = Fateful(nn.Flatten(), nn.Linear(prod(in_shape), units), nn.Tanh(), nn.Linear(units, outputs))
    network.fate, network.passes = fate, 0
    return network
'''


def until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until `condition` holds, while `process` runs."""
    deadline = time.monotonic() + 300
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def members(group: int) -> list[int]:
    """Return the processes that live in a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # state, parent, group, …
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
