"""Floors: what torch alone needs for the pieces of a step, which no tool can go below."""

from __future__ import annotations

from collections.abc import Iterator

from bnnbench.bench import layers
from bnnbench.bench.bare import BATCH, HIDDEN, TwoProducts, adam, bare_loop, mlp, sgd
from bnnbench.bench.loops import warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.steps import BARE
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Advance, alternate

PLAIN = "bare loop, fused Adam"


def measure(setting: Setting) -> Iterator[Row]:
    """Measure the floors of the samplers beside the bare loop, and those of the layers beside plain ones."""
    train = training_data(setting)
    samplers: dict[str, Advance] = {
        BARE: bare_loop(train),
        "bare loop, fused SGD": bare_loop(train, update=sgd(train, fused=True)),
        "forward and backward alone": bare_loop(train, update=lambda _: None),
    }
    two = mlp(layers.HIDDEN, train, TwoProducts)
    reparameterised: dict[str, Advance] = {
        PLAIN: bare_loop(train, layers.HIDDEN, update=adam(train)),
        # A small step: S must not become negative while it is timed.
        "two products and the draw": bare_loop(train, update=adam(train, lr=1e-7), network=two),
    }
    for threads in setting.threads:
        for loops, against, hidden in ((samplers, BARE, HIDDEN), (reparameterised, PLAIN, layers.HIDDEN)):
            warm_up(list(loops.values()), threads, setting.warm_up)
            blocks = alternate(loops, rounds=setting.rounds, block=setting.block, device=setting.device)
            yield from rows_of(blocks, setting.part, f"{widths(hidden)}, batch {BATCH}", threads, against)
