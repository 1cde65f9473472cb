"""How a step grows with the width of the network and with the batch, and what is left of it in a tiny one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bnnbench.bench.bare import bare_loop
from bnnbench.bench.loops import loop_of, warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.steps import BARE, HELD
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Advance, alternate
from bnnbench.data import Split

METHODS = {
    "SGD": ("method=sgd",),
    "SGLD": ("method=sgld",),
    "pSGLD, V held": ("method=psgld", f"method.optimizer.v_adapt={HELD}"),
}
WIDTHS = (100, 400, 1200)
BATCHES = (10, 100, 1000)
TINY = ((100,), 32)  # hidden units and batch, on the 64 pixels of the embedded digits


def measure(setting: Setting) -> Iterator[Row]:
    """Measure SGD, SGLD and pSGLD at each size, each beside the bare loop of that size."""
    train = training_data(setting)
    small = setting.quick
    sizes = [((w, w), 100) for w in (WIDTHS[:1] if small else WIDTHS)]
    sizes += [((400, 400), b) for b in (BATCHES[:1] if small else BATCHES) if b != 100]
    for hidden, batch in sizes:
        yield from at(setting, train, hidden, batch)
    embedded = Setting(
        ("dataset=digits",), setting.device, setting.threads, setting.rounds, setting.quick, setting.part
    )
    yield from at(embedded, training_data(embedded), *TINY)


def at(setting: Setting, train: Split, hidden: Sequence[int], batch: int) -> Iterator[Row]:
    """Measure one size."""
    size = (f"model.widths=[{','.join(map(str, hidden))}]", f"batch_size={batch}")
    loops: dict[str, Advance] = {
        label: loop_of(setting, train, "model=mlp", *size, *words) for label, words in METHODS.items()
    }
    loops[BARE] = bare_loop(train, hidden, batch)
    large = sum(hidden) * batch > 100_000
    rounds = max(2, setting.rounds // 2) if large else setting.rounds
    name = f"{widths(hidden, train.x[0].numel())}, batch {batch}"
    for threads in setting.threads:
        warm_up(list(loops.values()), threads, setting.warm_up)
        blocks = alternate(loops, rounds=rounds, block=setting.block, device=setting.device)
        yield from rows_of(blocks, setting.part, name, threads, BARE)
