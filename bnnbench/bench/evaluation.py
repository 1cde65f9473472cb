"""The share of evaluation and recording in a run on MNIST that evaluates as often as the default one does."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator

import torch
from rich.console import Console
from torch import Tensor, nn

from bnnbench.bench.bare import HIDDEN, mlp
from bnnbench.bench.end_to_end import test_data
from bnnbench.bench.loops import MLP, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, row
from bnnbench.bench.timing import Blocks
from bnnbench.config.composition import compose
from bnnbench.experiment.run import run
from bnnbench.store.manifest import Manifest

WHOLE = "whole run"
EVERY = 300  # iterations: a fortieth of the default 20 epochs
METHODS = {"SGD": "method=sgd", "pSGLD": "method=psgld"}
FORWARD = "forward passes alone, of SGD's evaluations"
TARGETS = {f"evaluation, {name}": 0.04 for name in METHODS}


def measure(setting: Setting) -> Iterator[Row]:
    """Measure the share in runs of two epochs."""
    network, x = mlp(HIDDEN, training_data(setting)), test_data(setting).x
    length = "iterations=4" if setting.quick else "epochs=2"
    for threads in setting.threads:
        for name, method in METHODS.items():
            blocks, label = Blocks(), f"evaluation, {name}"
            for _ in range(setting.repeats):
                with tempfile.TemporaryDirectory() as results:
                    words = [MLP, method, length, f"eval.every={2 if setting.quick else EVERY}", f"threads={threads}"]
                    raw = compose([*setting.data, *words, f"device={setting.device}", f"results={results}"])
                    cpu = time.process_time()
                    manifest = Manifest.read(run(raw, Console(file=io.StringIO())))
                    cpu = time.process_time() - cpu
                train, evaluation = manifest["train_seconds"], manifest["eval_seconds"]
                share = evaluation / (train + evaluation)
                blocks.add(WHOLE, train + evaluation, cpu)
                blocks.add(label, evaluation, share * cpu)
                if name == "SGD":
                    count = -(-manifest["iterations"] // manifest["eval_every"])
                    blocks.add(FORWARD, *[count * spent for spent in forward(network, x, threads)])
            for each in (label, FORWARD) if name == "SGD" else (label,):
                yield row(setting.part, each, widths(HIDDEN), threads, blocks.ratio(each, WHOLE), WHOLE)


def forward(network: nn.Module, x: Tensor, threads: int) -> tuple[float, float]:
    """Return seconds, and the processor's, of a forward pass of `x`: what an evaluation needs at least."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        network(x[:2000])
        cpu, start = time.process_time(), time.perf_counter()
        for part in x.split(2000):
            network(part)
    return time.perf_counter() - start, time.process_time() - cpu
