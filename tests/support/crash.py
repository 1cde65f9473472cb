"""Kills runs at random instants, lets them finish, and compares their numbers.

    PYTHONPATH=tests python -m support.crash --kills 100        # or: make crash-test

The killed run's metrics.csv must equal that of a run that nobody touched, to the byte, time columns aside. Every kill
is a SIGKILL to a process of its own, forked from one that has loaded all it needs (see forked.py). The instants are
uniform over the time that the untouched run takes, its start included, so that on average a kill costs half a run;
after at most ten the run comes to its end, and the next method has its turn.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch, here and in the process that others are forked from

import argparse
import io
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rich.console import Console

from bnnbench.config.composition import compose
from bnnbench.experiment.run import run
from bnnbench.store.folder import is_finished, run_path
from support.forked import forking
from support.records import numbers

METHODS = ("psgld", "sparse_vd", "batchnorm_sgld", "mc_dropout")
SMALL = ("model.widths=[16]", "members.burn_in=40", "eval.every=20", "threads=1", "checkpoint_every=0", "chains=2")
KILLS_OF_A_RUN = 10


def configuration(method: str, iterations: int, results: Path) -> dict[str, Any]:
    return compose([f"method={method}", f"results={results}", f"iterations={iterations}", *SMALL])


def quietly(raw: dict[str, Any]) -> None:
    run(raw, Console(file=io.StringIO()))


def start(raw: dict[str, Any]) -> BaseProcess:
    """Return the process that makes the run."""
    process = forking().Process(target=quietly, args=(raw,))
    process.start()
    return process


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=600, help="of a run, which has a checkpoint every 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=None, help="kept; default: a temporary folder")
    given = parser.parse_args(arguments)
    instants = random.Random(given.seed)
    ready = forking().Process(target=int)  # nothing; but then all is loaded, and no run waits for it
    ready.start()
    ready.join()
    with tempfile.TemporaryDirectory() as temporary:
        results = given.results or Path(temporary)
        kills = halves = rounds = late = 0
        while kills < given.kills:
            method = METHODS[rounds % len(METHODS)]
            rounds += 1
            untouched = configuration(method, given.iterations, results / f"untouched-{rounds}")
            killed = configuration(method, given.iterations, results / f"killed-{rounds}")
            begun = time.monotonic()
            start(untouched).join()
            span = time.monotonic() - begun
            end = min(given.kills, kills + KILLS_OF_A_RUN)
            while kills < end and not is_finished(run_path(killed)):
                process = start(killed)
                time.sleep(instants.uniform(0, span))
                process.kill()
                process.join()
                if is_finished(run_path(killed)):
                    break  # it was faster
                kills += 1
                late += (run_path(killed) / "checkpoint.pt").is_file()
                table = run_path(killed) / "metrics.csv"
                halves += table.is_file() and table.stat().st_size > 0 and not table.read_bytes().endswith(b"\n")
            start(killed).join()
            if not (is_finished(run_path(untouched)) and is_finished(run_path(killed))):
                print(f"{method}: not finished")
                return 1
            if numbers(run_path(untouched)) != numbers(run_path(killed)):
                print(f"{method}: other numbers after {kills} kills in all, see {run_path(killed)}")
                return 1
    print(
        f"{kills} kills ({late} of them behind a checkpoint) in {rounds} runs of {', '.join(METHODS[:rounds])}: "
        f"the same numbers, {halves} half rows left"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
