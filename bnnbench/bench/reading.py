"""Reading the records of 10, 100 and 1000 runs by the verbs that do, beside a script that reads the same numbers.

The runs are copies of one, under other seeds.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from rich.console import Console

from bnnbench.bench.commands import CLI, Spent, alternate_commands, spend
from bnnbench.bench.setting import Setting
from bnnbench.bench.table import Row, rows_of
from bnnbench.config.composition import compose
from bnnbench.experiment.run import run
from bnnbench.store.folder import run_path

COUNTS = (10, 100, 1000)
RUN = ("dataset=digits", "method=sgld", "model.widths=[8]", "epochs=10", "threads=1", "device=cpu", "name=copies")
PANDAS = "script that reads metrics.csv with pandas"
SCRIPT = """
import pathlib, sys
import pandas as pd
found = [pd.read_csv(path) for path in sorted(pathlib.Path(sys.argv[1]).rglob("metrics.csv"))]
print(pd.concat(found).groupby(["split", "predictor", "iteration"]).mean(numeric_only=True))
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Measure each verb on each number of run folders."""
    for count in COUNTS[:1] if setting.quick else COUNTS:
        with tempfile.TemporaryDirectory() as place:
            results = Path(place) / "results"
            copies(results, count)
            words = {
                PANDAS: ["-c", SCRIPT, str(results)],
                "compare": [*CLI, "compare", str(results)],
                "plot": [*CLI, "plot", str(results), "--out", str(Path(place) / "curves.png")],
                "collect": [*CLI, "collect", str(results), "--out", str(Path(place) / "rows.csv")],
                "ls runs": [*CLI, "ls", "runs", "--results", str(results)],
            }
            commands: dict[str, Callable[[], Spent]] = {
                label: lambda chosen=chosen: spend(chosen)  # type: ignore[misc]
                for label, chosen in words.items()
            }
            blocks, _ = alternate_commands(commands, 2 if count >= COUNTS[-1] else setting.repeats)
        yield from rows_of(blocks, setting.part, f"{count} runs", 1, PANDAS, words)


def copies(results: Path, count: int) -> None:
    """Make a run below `results`, and copies of it with other seeds until there are `count`."""
    raw = compose([*RUN, f"results={results}"])
    first = run(raw, Console(file=io.StringIO()))
    for seed in range(1, count):
        other = {**raw, "seed": seed}
        folder = run_path(other)
        shutil.copytree(first, folder, ignore=shutil.ignore_patterns("checkpoint*", ".lock"))
        settings = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
        dumped = yaml.safe_dump({**settings, "seed": seed}, sort_keys=False, allow_unicode=True)
        (folder / "config.yaml").write_text(dumped, "utf-8")
