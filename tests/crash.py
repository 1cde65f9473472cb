"""Kills runs at random instants, lets them finish, and compares their numbers.

    python tests/crash.py --kills 100        # or: make crash-test

The killed run's metrics.csv must equal that of a run that nobody touched, to the byte, time columns aside. Every kill
is a SIGKILL to a process of its own, forked from this one so that importing torch is paid for once. The instants are
uniform over the time that the untouched run takes, its start included, so that on average a kill costs half a run;
after at most ten the run comes to its end, and the next method has its turn.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: a forked process must not inherit a pool of threads

import argparse
import csv
import io
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console

from bnnbench.compose import conf_dir
from bnnbench.records import is_finished, run_path
from bnnbench.run import run

METHODS = ("psgld", "sparse_vd", "batchnorm_sgld", "mc_dropout")
SMALL = ("model.widths=[16]", "members.burn_in=40", "eval.every=20", "threads=1", "checkpoint_every=0", "chains=2")
KILLS_OF_A_RUN = 10


def configuration(method: str, results: Path) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[f"method={method}", f"results={results}", "iterations=600", *SMALL])
        return OmegaConf.to_container(cfg, resolve=True)


def start(raw: dict[str, Any]) -> int:
    """Return the process that makes the run."""
    process = os.fork()
    if process == 0:
        try:
            run(raw, Console(file=io.StringIO()))
        finally:
            os._exit(0)
    return process


def numbers(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open() as stream:
        rows = list(csv.reader(stream))
    keep = [i for i, name in enumerate(rows[0]) if not name.endswith("_seconds")]
    return [[row[i] for i in keep] for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=None, help="kept; default: a temporary folder")
    given = parser.parse_args()
    instants = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as temporary:
        results = given.results or Path(temporary)
        kills = halves = rounds = late = 0
        while kills < given.kills:
            method = METHODS[rounds % len(METHODS)]
            rounds += 1
            untouched = configuration(method, results / f"untouched-{rounds}")
            killed = configuration(method, results / f"killed-{rounds}")
            begun = time.monotonic()
            os.waitpid(start(untouched), 0)
            span = time.monotonic() - begun
            end = min(given.kills, kills + KILLS_OF_A_RUN)
            while kills < end and not is_finished(run_path(killed)):
                process = start(killed)
                time.sleep(instants.uniform(0, span))
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                if is_finished(run_path(killed)):
                    break  # it was faster
                kills += 1
                late += (run_path(killed) / "checkpoint.pt").is_file()
                table = run_path(killed) / "metrics.csv"
                halves += table.is_file() and table.stat().st_size > 0 and not table.read_bytes().endswith(b"\n")
            os.waitpid(start(killed), 0)
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
