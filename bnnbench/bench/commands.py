"""Commands as processes of their own: seconds, the processor's seconds, peak memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bnnbench.bench.timing import Blocks
from bnnbench.errors import BnnbenchError

CLI = ("-m", "bnnbench")
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
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, **(environment or {})},
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # Ctrl-C: it goes too
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            last = (said.read().decode("utf-8", "replace").strip().splitlines() or ["no word"])[-1]
            raise BnnbenchError(f"python {' '.join(words)[:120]}: exit {process.returncode}: {last}")
    return Spent(seconds, usage.ru_utime + usage.ru_stime, TO_MB * usage.ru_maxrss)


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
