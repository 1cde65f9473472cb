"""Chains side by side: the time of a step for each of them, as a multiple of a bare loop, which has one network."""

from __future__ import annotations

from collections.abc import Iterator

from bnnbench.bench.bare import BATCH, HIDDEN, bare_loop
from bnnbench.bench.loops import MLP, loop_of, warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.steps import BARE
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import alternate

COUNTS = (1, 2, 4, 8, 16)
ON_A_GPU = (1, 2, 4, 8, 16, 32, 64, 128)
METHODS = {"SGLD": "method=sgld", "BN + SGLD": "method=batchnorm_sgld"}


def measure(setting: Setting) -> Iterator[Row]:
    """Measure SGLD at each number of chains, on a GPU with BatchNorm too; one after another, to fit in memory."""
    train = training_data(setting)
    gpu = setting.device.type == "cuda"
    counts = COUNTS[:2] if setting.quick else ON_A_GPU if gpu else COUNTS
    methods = METHODS if gpu or setting.quick else {"SGLD": METHODS["SGLD"]}
    bare = bare_loop(train)
    for count in counts:
        label = {name: f"{name}, {count} chain{'s' * (count > 1)}, each" for name in methods}
        loops = {label[name]: loop_of(setting, train, MLP, word, f"chains={count}") for name, word in methods.items()}
        chains = dict.fromkeys(loops, count)
        loops[BARE] = bare
        for threads in setting.threads:
            warm_up(list(loops.values()), threads, max(2, setting.warm_up // count // 2))
            block = max(setting.block, count)
            blocks = alternate(loops, rounds=setting.rounds, block=block, device=setting.device, chains=chains)
            size = f"{widths(HIDDEN)}, batch {BATCH}"
            rows = rows_of(blocks, setting.part, size, threads, BARE)
            yield from rows if count == 1 else rows[1:]  # one row of the reference is enough
