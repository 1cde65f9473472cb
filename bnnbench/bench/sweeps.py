"""What a sweep costs beside its runs: once, and for each run; of runs that are finished, and of tiny ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bnnbench.bench.commands import CLI, Spent, spend
from bnnbench.bench.setting import Setting
from bnnbench.bench.table import Row, row
from bnnbench.bench.timing import Blocks

TINY = ("dataset=digits", "method=sgld", "model.widths=[8]", "iterations=1", "eval.every=1", "threads=1", "device=cpu")
ALONE = "one such run by itself"
FEW, MANY = 2, 22  # runs of the two sweeps whose difference is the cost of a run


def measure(setting: Setting) -> Iterator[Row]:
    """Measure sweeps of few and of many runs; the difference gives the cost of each, what is left the fixed cost."""
    many = FEW + 2 if setting.quick else MANY
    size, blocks = f"{FEW} and {many} runs", Blocks()
    for _ in range(setting.repeats):
        with tempfile.TemporaryDirectory() as place:
            alone = spend([*CLI, "run", *TINY, f"results={Path(place) / 'alone'}"])
            blocks.add(ALONE, alone.seconds, alone.cpu_seconds)
            tiny = {n: _sweep(Path(place) / str(n), n) for n in (FEW, many)}
            finished = {n: _sweep(Path(place) / str(n), n) for n in (FEW, many)}
        for name, spent in (("tiny runs", tiny), ("finished runs", finished)):
            each = [(spent[many][i] - spent[FEW][i]) / (many - FEW) for i in range(2)]
            blocks.add(f"sweep of {name}, each", *each)
            blocks.add(f"sweep of {name}, fixed", *(spent[FEW][i] - FEW * each[i] for i in range(2)))
    for label in blocks.seconds:
        yield row(setting.part, label, size, 1, blocks.ratio(label, ALONE), ALONE)


def _sweep(results: Path, count: int) -> tuple[float, float]:
    """Run a sweep over seeds; return its seconds, by the clock and of the processors."""
    spent: Spent = spend([*CLI, "run", "-m", *TINY, f"seed=range(0,{count})", f"results={results}"])
    return spent.seconds, spent.cpu_seconds
