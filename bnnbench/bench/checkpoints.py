"""What a checkpoint of a large network costs, beside torch.save of the same state and in training steps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bnnbench.bench.loops import widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, row, rows_of
from bnnbench.bench.timing import Advance, alternate
from bnnbench.config.composition import compose
from bnnbench.experiment.assembly import assemble, check
from bnnbench.experiment.run import step
from bnnbench.experiment.snapshot import state_of
from bnnbench.experiment.timing import Clock
from bnnbench.inference.random import begin
from bnnbench.store import checkpoint

SAVED, WRITTEN, STEP = "torch.save of the same state", "checkpoint", "training step"
HIDDEN = (4096, 4096, 4096)


def measure(setting: Setting) -> Iterator[Row]:
    """Measure a checkpoint of a pSGLD run, with V and the sums of the posterior mean."""
    training_data(setting)
    hidden = (64,) if setting.quick else HIDDEN
    words = ["method=psgld", "model=mlp", f"model.widths=[{','.join(map(str, hidden))}]", "epochs=1"]
    parts = assemble(check(compose([*setting.data, *words, f"device={setting.device}"])))
    lr, done = float(parts.config.method.optimizer["lr"]), 0

    def advance(count: int) -> None:
        nonlocal done
        for _ in range(count):
            begin(done, parts.noise)
            step(parts.optimizer, parts.potential, *parts.batches(done), lr)
            done += 1

    def state() -> dict[str, object]:
        return state_of(parts, done, [], Clock(parts.device)) | {"csv_bytes": 0}

    advance(1)
    threads = max(setting.threads)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        loops: dict[str, Advance] = {
            STEP: advance,
            SAVED: lambda _: torch.save(state(), folder / "plain.pt"),
            WRITTEN: lambda _: checkpoint.write(folder, state()),
        }
        for save in (loops[SAVED], loops[WRITTEN]):
            save(1)  # the first one makes the file
        blocks = alternate(loops, rounds=setting.repeats, block=1, device=setting.device)
    size = f"{widths(hidden)}, {parts.chains.size / 1e6:.2g} million weights"
    yield from rows_of(blocks, setting.part, size, threads, SAVED, [WRITTEN])
    yield row(setting.part, WRITTEN, size, threads, blocks.ratio(WRITTEN, STEP), STEP)
