"""SGLD and pSGLD beside fifteen careful lines of one's own, with torch's foreach operations."""

from __future__ import annotations

from collections.abc import Iterator

from bnnbench.bench.bare import BATCH, HIDDEN, bare_loop, careful_psgld, careful_sgld
from bnnbench.bench.loops import MLP, loop_of, warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.steps import BARE
from bnnbench.bench.table import Row, row, rows_of
from bnnbench.bench.timing import Advance, alternate

PAIRS = (("SGLD", "SGLD in careful lines"), ("pSGLD, V moving", "pSGLD in careful lines"))


def measure(setting: Setting) -> Iterator[Row]:
    """Measure the careful lines beside the bare loop, and the samplers here beside the careful lines."""
    train = training_data(setting)
    (sgld, own_sgld), (psgld, own_psgld) = PAIRS
    loops: dict[str, Advance] = {
        BARE: bare_loop(train),
        own_sgld: bare_loop(train, update=careful_sgld(train)),
        own_psgld: bare_loop(train, update=careful_psgld(train)),
        sgld: loop_of(setting, train, MLP, "method=sgld"),
        psgld: loop_of(setting, train, MLP, "method=psgld", "method.optimizer.v_adapt=always"),
    }
    size = f"{widths(HIDDEN)}, batch {BATCH}"
    for threads in setting.threads:
        warm_up(list(loops.values()), threads, setting.warm_up)
        blocks = alternate(loops, rounds=setting.rounds, block=setting.block, device=setting.device)
        yield from rows_of(blocks, setting.part, size, threads, BARE, [own_sgld, own_psgld])
        for mine, theirs in PAIRS:
            yield row(setting.part, mine, size, threads, blocks.ratio(mine, theirs), theirs)
