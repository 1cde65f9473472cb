"""The loop of a run laid open, so that any number of steps can be timed beside others'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bnnbench.bench.setting import Setting
from bnnbench.bench.timing import Advance
from bnnbench.config.composition import compose
from bnnbench.data import Split
from bnnbench.experiment.assembly import assemble, check
from bnnbench.experiment.run import step
from bnnbench.inference.random import begin, derive_seed, layer_stream

MLP = "model=mlp_400_400"
LENET = "model=lenet_300_100"
# No warm-up: without the KL in the loss its cost would not be seen.
FULL_KL = ("method.kl.zero_until=0", "method.kl.full_from=0")


def bnnbench_loop(raw: dict[str, Any], train: Split | None = None) -> tuple[Advance, Split]:
    """Return a function that makes so many steps as `bnnbench.experiment.run` makes them, and the training data.

    Args:
        raw: the resolved configuration.
        train: the data to use, so that all loops share one copy; by default those of `raw`.
    """
    config = check(raw)
    parts = assemble(config)
    optimizer, potential, batches, schedule = parts.optimizer, parts.potential, parts.batches, parts.schedule
    guard = parts.guard
    batches.split = train or batches.split
    lr_start = float(config.method.optimizer["lr"])
    iteration = 0

    seeds = [derive_seed(config.seed, k, "layers") for k in range(config.chains)]

    def advance(count: int) -> None:
        nonlocal iteration
        with layer_stream(seeds, parts.device, config.random):
            for _ in range(count):
                lr = lr_start * schedule(iteration)
                begin(iteration, parts.noise)
                loss = step(optimizer, potential, *batches(iteration), lr)
                iteration += 1
                if guard.add(loss, lr):
                    guard.check(iteration)

    return advance, batches.split


def loop_of(setting: Setting, train: Split, *overrides: str) -> Advance:
    """Return the loop of a run with these `overrides` on the setting's data and device."""
    # The data are moved to the device once, as `train`: a loop's own copy would only be thrown away.
    return bnnbench_loop(compose([*setting.data, f"device={setting.device}", *overrides]), train)[0]


def widths(hidden: Sequence[int], inputs: int = 784, outputs: int = 10) -> str:
    """Return the word for a network of these widths, such as 784-400-400-10."""
    return "-".join(map(str, (inputs, *hidden, outputs)))


def warm_up(loops: Sequence[Advance], threads: int, steps: int) -> None:
    """Set torch's threads, and make the first steps of each loop, which allocate and compile."""
    torch.set_num_threads(threads)
    for advance in loops:
        advance(steps)
