"""Commands as processes of their own: seconds, the processor's seconds, peak memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bnnbench.bench.timing import Blocks
from bnnbench.errors import BnnbenchError

CLI = ("-m", "bnnbench")
# A process inherits the peak of the one that starts it: a small one stands between this one and what is measured.
LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
process.returncode = os.waitstatus_to_exitcode(status)
if not process.returncode:
    print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]), file=sys.stderr)
sys.exit(process.returncode % 256)
"""
TO_MB = 1e-6 if sys.platform == "darwin" else 1024e-6  # of ru_maxrss: bytes on macOS, KiB elsewhere


@dataclass(frozen=True)
class Spent:
    """What a process took.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of the processor, with all threads and its own processes.
        peak_mb: the most memory that it held at once, in 10⁶ bytes.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float


def spend(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """Run Python with `words` and return what it took.

    Args:
        words: after the interpreter: ``-c``, code; ``-m``, a module, its words.
        environment: what is added to that of this process.

    Raises:
        BnnbenchError: the process failed; with its last line.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, sys.executable, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word"])[-1]
    if done.returncode:
        raise BnnbenchError(f"python {' '.join(words)[:120]}: exit {done.returncode}: {last}")
    seconds, cpu_seconds, peak = json.loads(last)
    return Spent(seconds, cpu_seconds, TO_MB * peak)


def alternate_commands(commands: Mapping[str, Callable[[], Spent]], rounds: int) -> tuple[Blocks, dict[str, float]]:
    """Run all `commands` in turn, in another order every round; return their times, and their peak memory in MB."""
    blocks = Blocks({label: [] for label in commands}, {label: [] for label in commands})
    peaks = dict.fromkeys(commands, 0.0)
    for _ in range(rounds):
        for label in random.sample(sorted(commands), len(commands)):
            spent = commands[label]()
            blocks.add(label, spent.seconds, spent.cpu_seconds)
            peaks[label] = max(peaks[label], spent.peak_mb)
    return blocks, peaks
