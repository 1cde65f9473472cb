"""Seconds from a command to the end of a run of one iteration, which bound the time to the first step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bnnbench.bench.commands import CLI, Spent, alternate_commands, spend
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, rows_of

TORCH = "import torch"
ONE = ("iterations=1", "eval.every=1")


def measure(setting: Setting) -> Iterator[Row]:
    """Measure commands beside the import of torch; the caches of the disk are warm, but for the compiled loops."""
    training_data(setting)
    threads = max(setting.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)

        def one_iteration(*words: str, cold: bool = False) -> Spent:
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                environment = {"XDG_CACHE_HOME": fresh} if cold else {}
                return spend(run_words(fresh, threads, *words), environment)

        done = run_words(str(folder / "done"), threads, "dataset=digits", "method=psgld")
        spend(done)
        digits = ("dataset=digits", "method=psgld")
        commands: dict[str, Callable[[], Spent]] = {
            TORCH: lambda: spend(["-c", "import torch"]),
            "import numba": lambda: spend(["-c", "import numba"]),
            "bnnbench --help": lambda: spend([*CLI, "--help"]),
            "run of one iteration, digits": lambda: one_iteration(*digits),
            "run of one iteration, digits, loops not compiled yet": lambda: one_iteration(*digits, cold=True),
            "run of one iteration, MNIST": lambda: one_iteration(*setting.data, "method=psgld"),
            "finished already": lambda: spend(done),
        }
        blocks, _ = alternate_commands(commands, setting.repeats)
    yield from rows_of(blocks, setting.part, "one command", threads, TORCH, commands)


def run_words(results: str, threads: int, *words: str) -> list[str]:
    """Return the words of a run of one iteration."""
    return [*CLI, "run", *words, *ONE, f"threads={threads}", "device=cpu", f"results={results}"]
