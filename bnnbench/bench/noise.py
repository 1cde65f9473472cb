"""Normals for all weights of a network: each source of them beside torch's, which draws tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from bnnbench.bench.bare import HIDDEN, mlp
from bnnbench.bench.loops import warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Advance, alternate
from bnnbench.inference.random import CounterNoise, Noise

TORCH = "torch.randn_like"


def measure(setting: Setting) -> Iterator[Row]:
    """Measure a draw of a normal for every weight."""
    tensors = [p.detach() for p in mlp(HIDDEN, training_data(setting)).parameters()]
    sources: dict[str, Callable[[], object]] = {
        TORCH: lambda: [torch.randn_like(t) for t in tensors],
        "random=torch": lambda: one(tensors),
    }
    one = Noise([0], setting.device)
    if setting.device.type == "cpu":
        counted = CounterNoise([0])
        sources["random=counter, drawn by itself"] = lambda: counted(tensors)
    loops: dict[str, Advance] = {label: _repeated(draw) for label, draw in sources.items()}
    for threads in setting.threads:
        warm_up(list(loops.values()), threads, setting.warm_up // 4)
        blocks = alternate(loops, rounds=setting.rounds, block=setting.block, device=setting.device)
        yield from rows_of(blocks, setting.part, widths(HIDDEN), threads, TORCH)


def _repeated(draw: Callable[[], object]) -> Advance:
    def advance(count: int) -> None:
        for _ in range(count):
            draw()

    return advance
