"""Two runs at once on the same cores, beside one alone: how idle threads wait decides what is left of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import torch

from bnnbench.bench.bare import BATCH, HIDDEN
from bnnbench.bench.loops import MLP, loop_of, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Blocks
from bnnbench.cli.waiting import CHOSEN, SPINS
from bnnbench.errors import BnnbenchError

ALONE = "SGLD alone, threads wait as OpenMP has it"
SECONDS = 4.0
BLOCK = 20  # steps between two looks at the clock


def measure(setting: Setting) -> Iterator[Row]:
    """Measure the time of a step in each company, with as many threads as there may be."""
    threads = max(setting.threads)
    briefly = {"GOMP_SPINCOUNT": SPINS}
    kinds: dict[str, tuple[int, int, Mapping[str, str]]] = {  # runs, threads of each, what the environment has
        ALONE: (1, threads, {}),
        "SGLD alone, threads wait briefly, as `bnnbench run` has it": (1, threads, briefly),
        "two runs of SGLD, each, threads wait as OpenMP has it": (2, threads, {}),
        "two runs of SGLD, each, threads wait briefly": (2, threads, briefly),
        "two runs of SGLD, each, one thread": (2, 1, briefly),
    }
    blocks = Blocks()
    for _ in range(setting.repeats):
        for label, (runs, own, environment) in kinds.items():
            blocks.add(label, *_together(setting, runs, own, environment))
    yield from rows_of(blocks, setting.part, f"{widths(HIDDEN)}, batch {BATCH}", threads, ALONE)


def _together(setting: Setting, runs: int, threads: int, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the seconds of a step, by the clock and of the processor: the means over `runs` processes at once."""
    kept = {name: value for name, value in os.environ.items() if name not in CHOSEN}
    told = [str(threads), str(0.2 if setting.quick else SECONDS), *setting.data]
    command = [sys.executable, "-m", "bnnbench.bench.company", *told]
    started = [
        subprocess.Popen(
            command, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(runs)
    ]
    found = []
    for process in started:
        out, err = process.communicate()
        if process.returncode:
            raise BnnbenchError(f"company: exit {process.returncode}: {(err.strip().splitlines() or ['no word'])[-1]}")
        found.append(json.loads(out))
    seconds, cpu_seconds = (sum(each) / runs for each in zip(*found, strict=True))
    return seconds, cpu_seconds


def main(words: Sequence[str]) -> None:
    """Make steps for some seconds and print what one took, by the clock and of the processor.

    Args:
        words: threads, seconds, the data.
    """
    threads, seconds = int(words[0]), float(words[1])
    setting = Setting(tuple(words[2:]), torch.device("cpu"), (threads,), 2)
    advance = loop_of(setting, training_data(setting), MLP, "method=sgld")
    torch.set_num_threads(threads)
    advance(BLOCK)
    steps, cpu, start = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        advance(BLOCK)
        steps += BLOCK
    print(json.dumps([(time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps]))


if __name__ == "__main__":
    main(sys.argv[1:])
