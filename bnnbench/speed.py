"""What bnnbench costs beside a bare torch loop: ``python -m bnnbench.speed`` (or ``make bench``), some minutes.

Four parts, each with a target; the exit code is 1 if one is missed.
    steps       a training step of some methods, as a multiple of one of a bare loop in torch
    layers      a training step with stochastic layers, as a multiple of one with plain layers and the same update
    evaluation  the share of evaluation and recording in a run on MNIST with the default settings
    start       seconds from the command to the end of a run of one iteration, which bounds the time to the first step
Only ratios are compared, of blocks that alternate within one process: seconds on a shared machine mean little. When
other processes want the same cores even ratios are unsteady; the quartiles and the load average say so.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn

from bnnbench.config.composition import compose
from bnnbench.data import Split
from bnnbench.errors import BnnbenchError, DataError
from bnnbench.experiment import machine
from bnnbench.experiment.assembly import assemble, check
from bnnbench.experiment.run import run, step
from bnnbench.store.manifest import Manifest

BLOCK = 40  # steps between two readings of the clock, all chains counted
BATCH = 100
WARM_UP = 100  # steps
# Label, overrides, chains, and the largest admissible multiple of the bare loop.
LOOPS: tuple[tuple[str, tuple[str, ...], int, float | None], ...] = (
    ("SGD", ("method=sgd",), 1, 1.15),
    ("RMSprop", ("method=rmsprop",), 1, None),
    ("SGLD", ("method=sgld",), 1, 2.2),
    ("SGLD, 4 chains, each", ("method=sgld",), 4, None),
    ("BN + SGLD", ("method=batchnorm_sgld",), 1, None),
    ("pSGLD, V held", ("method=psgld", f"method.optimizer.v_adapt={WARM_UP}"), 1, 2.8),
    ("pSGLD, V moving", ("method=psgld", "method.optimizer.v_adapt=always"), 1, None),
    (
        "pSGLD, Γ by Hutchinson",
        ("method=psgld", "method.optimizer.gamma=hutchinson", "method.optimizer.v_adapt=always"),
        1,
        None,
    ),
)
# The same for stochastic layers, against Adam on plain ones. Two matrix products for one and Adam on twice the
# parameters are 2 of the 3.2; the rest is the KL.
LAYERS: tuple[tuple[str, tuple[str, ...], int, float | None], ...] = (
    ("dropout", ("method=dropout",), 1, None),
    ("Gaussian dropout", ("method=gaussian_dropout",), 1, None),
    ("VD", ("method=vd",), 1, 3.2),
    ("VD, α per weight", ("method=vd", "method.layers.per=weight"), 1, None),
    ("VD (A)", ("method=vd_a",), 1, None),
    ("Sparse VD", ("method=sparse_vd",), 1, 3.2),
    ("Sparse VD, train_clip", ("method=sparse_vd", "method.layers.train_clip=true"), 1, None),
    ("mean-field VI", ("method=mean_field",), 1, None),
    (
        "mean-field VI, one draw, mixture",
        ("method=mean_field", "method.layers.estimator=single", "+method.layers.prior=mixture"),
        1,
        None,
    ),
)
SHARE = 0.08  # of evaluation and recording in a run's time
START = 6.0  # seconds
MNIST = ("dataset=mnist", "model=mlp_400_400")
LENET = "model=lenet_300_100"


def find_data() -> tuple[str, ...]:
    """Print which data is used, MNIST if it is here, and return the overrides that choose it and the network."""
    try:
        assemble(check(compose([*MNIST])))
    except DataError:
        print("data: noise of MNIST's shape (the real one: `bnnbench data fetch mnist`)")
        return (*MNIST, "dataset.name=bnnbench.data._noise_images")
    print("data: MNIST")
    return MNIST


def bare_loop(train: Split) -> Callable[[int], None]:
    """Return a function that makes so many SGD steps with torch alone: what a step costs at the least."""
    device = train.x.device
    hidden = (nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU())
    network = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(400, 10)).to(device)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=1 / len(train))
    order = torch.randperm(len(train)).to(device)
    at = 0

    def advance(count: int) -> None:
        nonlocal at
        for _ in range(count):
            index = order[at : at + BATCH]
            at = (at + BATCH) % (len(order) - BATCH)
            optimiser.zero_grad()
            F.cross_entropy(network(train.x.index_select(0, index)), train.y.index_select(0, index)).backward()
            optimiser.step()

    return advance


def bnnbench_loop(raw: dict[str, Any], train: Split | None = None) -> tuple[Callable[[int], None], Split]:
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

    def advance(count: int) -> None:
        nonlocal iteration
        for _ in range(count):
            lr = lr_start * schedule(iteration)
            parts.noise.begin(iteration)
            loss = step(optimizer, potential, *batches(iteration), lr)
            iteration += 1
            if guard.add(loss, lr):
                guard.check(iteration)

    return advance, batches.split


def measure_steps(rounds: int, data: Sequence[str]) -> bool:
    """Print each method's step as a multiple of the bare one; return whether the targets are met."""
    device = machine.choose_device("auto")
    loops: dict[str, Callable[[int], None]] = {}
    train = None
    for label, overrides, chains, _ in LOOPS:
        loops[label], train = bnnbench_loop(compose([*data, *overrides, f"chains={chains}", "device=auto"]), train)
    assert train is not None
    loops["bare loop"] = bare_loop(train)
    print(f"\nsteps: ms of the bare loop and multiples of it, median (quartiles) over {rounds} rounds")
    for loop in loops.values():
        loop(WARM_UP)  # first calls allocate, and V is held after
    if device.type == "cuda":
        _check_no_sync(loops, device)
    else:
        print("  no wait for the device within a step: not checked here (no GPU)")
    return _compare(loops, "bare loop", LOOPS, rounds, device)


def measure_layers(rounds: int, data: Sequence[str]) -> bool:
    """Print the step of each kind of layer as a multiple of the plain one's; return whether the targets are met."""
    device = machine.choose_device("auto")
    loops: dict[str, Callable[[int], None]] = {}
    # No warm-up: without the KL in the loss its cost would not be seen.
    full = ("method.kl.zero_until=0", "method.kl.full_from=0", "device=auto", LENET)
    loops["plain"], train = bnnbench_loop(compose([*data, "method=adam", *full]))
    for label, overrides, _, _ in LAYERS:
        loops[label], _ = bnnbench_loop(compose([*data, *overrides, *full]), train)
    print(f"\nlayers: ms of Adam on plain layers, 784-300-100-10, and multiples of it, over {rounds} rounds")
    for loop in loops.values():
        loop(50)
    return _compare(loops, "plain", LAYERS, rounds, device)


def _compare(
    loops: dict[str, Callable[[int], None]],
    reference: str,
    table: Sequence[tuple[str, tuple[str, ...], int, float | None]],
    rounds: int,
    device: torch.device,
) -> bool:
    """Time blocks of all `loops` in turn, print each as a multiple of `reference`; return whether targets are met."""
    seconds: dict[str, list[float]] = {label: [] for label in loops}
    chains_of = {label: chains for label, _, chains, _ in table}
    for _ in range(rounds):
        for label in random.sample(sorted(loops), len(loops)):
            count = max(1, BLOCK // chains_of.get(label, 1))
            machine.synchronise(device)
            start = time.perf_counter()
            loops[label](count)
            machine.synchronise(device)
            seconds[label].append((time.perf_counter() - start) / count / chains_of.get(label, 1))
    bare = seconds.pop(reference)
    low, middle, high = (1000 * q for q in statistics.quantiles(bare, n=4))
    print(f"  {reference:<24}{middle:>6.2f} ms ({low:.2f}–{high:.2f})")
    met = True
    for label, _, _, target in table:
        ratios = [mine / theirs for mine, theirs in zip(seconds[label], bare, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        limit = target if device.type == "cpu" else None  # on a GPU a step this small is the launching of kernels
        met &= _line(label, f"{middle:>6.2f} ×  ({low:.2f}–{high:.2f})", middle, limit, "×")
    return met


def _check_no_sync(loops: dict[str, Callable[[int], None]], device: torch.device) -> None:
    """Raise RuntimeError if a step waits for the GPU; the 25 steps up to here do not reach `DivergenceGuard.check`."""
    for loop in loops.values():
        torch.cuda.set_sync_debug_mode("error")
        try:
            loop(20)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    print(f"  no step waits for the device: checked on {torch.cuda.get_device_name(device)}")


def measure_evaluation(data: Sequence[str]) -> bool:
    """Print the share of evaluation and recording in short runs; return whether the target is met."""
    print("\nevaluation: share of evaluation and recording in a run, every 300 iterations, 2 epochs")
    met = True
    for method in ("sgd", "psgld"):
        with tempfile.TemporaryDirectory() as results:
            raw = compose([*data, f"method={method}", "epochs=2", "eval.every=300", f"results={results}"])
            folder = run(raw, Console(file=io.StringIO()))
            manifest = Manifest.read(folder)
        train, evaluation = manifest["train_seconds"], manifest["eval_seconds"]
        share = evaluation / (train + evaluation)
        shown = f"{100 * share:>6.1f} %  ({evaluation:.2f} s beside {train:.2f} s of training)"
        met &= _line(raw["method"]["label"], shown, share, SHARE, "")
    return met


def measure_start(data: Sequence[str], repeats: int = 3) -> bool:
    """Print how long a run of one iteration takes, process and all; return whether the target is met."""
    print(f"\nstart: seconds from the command to the end of a run of one iteration, median of {repeats}")
    met = True
    for label, overrides in (("digits", ("dataset=digits",)), ("MNIST", data)):
        seconds = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as results:
                words = [*overrides, "method=sgd", "iterations=1", "eval.every=1", f"results={results}"]
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", "bnnbench", "run", *words], check=True, capture_output=True)
                seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        met &= _line(label, f"{middle:>6.2f} s  ({min(seconds):.2f}–{max(seconds):.2f})", middle, START, " s")
    return met


def _line(label: str, shown: str, value: float, target: float | None, unit: str) -> bool:
    """Print one line of a table; return whether the target, if there is one, is met."""
    verdict = ""
    if target is not None:
        limit = f"{100 * target:.0f} %" if not unit else f"{target:g}{unit}"
        verdict = f"≤ {limit}  {'ok' if value <= target else 'MISSED'}"
    print(f"  {label:<24}{shown:<46}{verdict}".rstrip())
    return target is None or value <= target


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bnnbench.speed", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="of alternating blocks, at least 2 (default: 15)")
    parser.add_argument("--only", choices=("steps", "layers", "evaluation", "start"), help="one part alone")
    options = parser.parse_args(arguments)
    if options.rounds < 2:
        parser.error("--rounds: quartiles need at least 2")
    facts = machine.describe(machine.choose_device("auto"), machine.set_threads("auto"))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    print(f"{facts['device_name']}, {os.cpu_count()} cores, {facts['threads']} threads, load average {load}")
    print(f"torch {facts['versions']['torch']}, commit {facts['git_commit']}")
    data = find_data()
    parts = {
        "steps": lambda: measure_steps(options.rounds, data),
        "layers": lambda: measure_layers(options.rounds, data),
        "evaluation": lambda: measure_evaluation(data),
        "start": lambda: measure_start(data),
    }
    met = [measure() for part, measure in parts.items() if options.only in (None, part)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BnnbenchError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
