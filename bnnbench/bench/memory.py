"""The peak memory of a run beside that of torch alone: imported, and training the same network on the same data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

from bnnbench.bench.commands import CLI, Spent, alternate_commands, spend
from bnnbench.bench.loops import MLP
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, row
from bnnbench.bench.timing import Ratio

TORCH = "import torch"
LOOP = "bare loop in torch"
SCRIPT = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
x, y = torch.rand(60_000, 784), torch.randint(10, (60_000,))
layers = [torch.nn.Linear(784, 400), torch.nn.ReLU(), torch.nn.Linear(400, 400), torch.nn.ReLU()]
network = torch.nn.Sequential(*layers, torch.nn.Linear(400, 10))
optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
for _ in range(int(sys.argv[2])):
    index = torch.randint(60_000, (100,))
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(network(x[index]), y[index]).backward()
    optimiser.step()
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Measure the peaks; the ratio of these rows is one of memory, not of time."""
    training_data(setting)
    threads, steps = max(setting.threads), 2 if setting.quick else 100

    def own(*words: str) -> Spent:
        with tempfile.TemporaryDirectory() as results:
            place = (f"threads={threads}", "device=cpu", f"results={results}")
            return spend(
                [*CLI, "run", *setting.data, MLP, *words, f"iterations={steps}", f"eval.every={steps}", *place]
            )

    commands: dict[str, Callable[[], Spent]] = {
        TORCH: lambda: spend(["-c", "import torch"]),
        LOOP: lambda: spend(["-c", SCRIPT, str(threads), str(steps)]),
        "run, SGD": lambda: own("method=sgd"),
        "run, pSGLD": lambda: own("method=psgld"),
        "run, Sparse VD": lambda: own("method=sparse_vd"),
    }
    blocks, peaks = alternate_commands(commands, 2)
    for label in commands:
        times = blocks.ratio(label, TORCH)
        share = peaks[label] / peaks[TORCH]
        found = Ratio(share, share, share, times.seconds, times.cpu_seconds)
        yield row(setting.part, label, f"peak memory, {steps} steps", threads, found, TORCH, peaks[label])
