"""Where the time of a step goes: ``python -m bnnbench.bench.profile method=sgld`` (or ``make profile METHOD=sgld``).

First its stages by the clock, then torch's operations by the processor's time of their own. Where a compiled loop draws
the noise within the update, noise is measured by itself and is part of the update's time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from bnnbench.config.composition import compose
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.experiment.assembly import Parts, assemble, check
from bnnbench.experiment.machine import synchronise
from bnnbench.inference.random import CounterNoise, begin

STAGES = ("gather", "forward", "backward", "update", "noise")
WARM_UP, STEPS, SHOWN = 20, 100, 15


class Stages:
    """The seconds of each stage of a step.

    Args:
        device: waited for before the clock is read.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of the block to `stage`."""
        synchronise(self.device)
        start = time.perf_counter()
        yield
        synchronise(self.device)
        self.seconds[stage] += time.perf_counter() - start


def make_step(parts: Parts, iteration: int, stages: Stages) -> None:
    """Make a step as `bnnbench.experiment.run.step` does, and keep the time of its stages."""
    optimizer, lr = parts.optimizer, float(parts.config.method.optimizer["lr"]) * parts.schedule(iteration)
    for group in optimizer.param_groups:
        group["lr"] = lr
    begin(iteration, parts.noise)
    with stages.time("gather"):
        x, y = parts.batches(iteration)
    if getattr(optimizer, "needs_closure", False):  # it differentiates the loss itself: backward is part of the update
        before = stages.seconds["forward"]

        def closure() -> Any:  # torch's annotation is float
            with stages.time("forward"):
                loss = parts.potential(x, y)
            return loss.sum()

        with stages.time("update"):
            optimizer.step(closure)
        stages.seconds["update"] -= stages.seconds["forward"] - before
        return
    with stages.time("forward"):
        loss = parts.potential(x, y)
    optimizer.zero_grad(set_to_none=True)
    with stages.time("backward"):
        loss.sum().backward()
    with stages.time("update"):
        optimizer.step()


def draw_noise(parts: Parts, iteration: int, stages: Stages) -> None:
    """Draw the noise of a step by itself, and keep its time; nothing where the method injects none."""
    if parts.temperature:
        hot = [p for g in parts.optimizer.param_groups if g.get("temperature") for p in g["params"]]
        begin(iteration, parts.noise)
        with stages.time("noise"):
            parts.noise(hot)


def operations(parts: Parts, first: int, steps: int) -> list[tuple[str, float, float]]:
    """Return torch's operations: name, calls per step, microseconds of their own per step; the longest first."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if parts.device.type == "cuda" else [])]
    silent = Stages(parts.device)
    with torch.profiler.profile(activities=kinds) as profile:
        for iteration in range(first, first + steps):
            make_step(parts, iteration, silent)
    found = []
    for event in profile.key_averages():
        own = event.self_device_time_total if parts.device.type == "cuda" else event.self_cpu_time_total
        found.append((event.key, event.count / steps, own / steps))
    return sorted(found, key=lambda each: -each[2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bnnbench.bench.profile", description=__doc__.partition("\n")[0])
    parser.add_argument("overrides", nargs="*", help="of `bnnbench run`, such as method=sgld dataset=mnist threads=1")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"that are measured (default: {STEPS})")
    options = parser.parse_args(arguments)
    try:
        if options.steps < 1:
            raise ConfigError(f"--steps {options.steps}: at least 1.")
        parts = assemble(check(compose(options.overrides)))
    except BnnbenchError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    for iteration in range(WARM_UP):
        make_step(parts, iteration, Stages(parts.device))
    stages = Stages(parts.device)
    for iteration in range(WARM_UP, WARM_UP + options.steps):
        make_step(parts, iteration, stages)
        draw_noise(parts, iteration, stages)
    method, dataset = parts.config.method.label, parts.config.dataset["name"]
    threads = f"{parts.threads} thread{'s' * (parts.threads > 1)}"
    print(f"{method} on {dataset}, {parts.chains.size} parameters, {parts.device}, {threads}")
    whole = sum(seconds for stage, seconds in stages.seconds.items() if stage != "noise")
    print(f"\n{'stage':<12}{'µs per step':>12}{'share':>8}")
    for stage, seconds in stages.seconds.items():
        note = ""
        if stage == "noise":
            note = "   drawn by itself; part of the update" + ", in whose loop it is faster" * isinstance(
                parts.noise, CounterNoise
            )
        print(f"{stage:<12}{1e6 * seconds / options.steps:>12.1f}{100 * seconds / whole:>7.1f}%{note}")
    print(f"{'step':<12}{1e6 * whole / options.steps:>12.1f}")
    print(f"\n{'operation':<52}{'calls':>8}{'own µs per step':>18}")
    for name, calls, own in operations(parts, WARM_UP + options.steps, options.steps)[:SHOWN]:
        print(f"{name[:50]:<52}{calls:>8.1f}{own:>18.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
