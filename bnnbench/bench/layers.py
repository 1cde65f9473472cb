"""A training step with each kind of stochastic layer, as a multiple of one with plain layers and the same update."""

from __future__ import annotations

from collections.abc import Iterator

from bnnbench.bench.bare import BATCH
from bnnbench.bench.loops import FULL_KL, LENET, loop_of, warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Advance, alternate

PLAIN = "plain layers, Adam"
HIDDEN = (300, 100)
# Label, overrides, and the multiple of plain layers that is aimed at: two products and Adam on twice the parameters are
# 2 of it.
LAYERS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("dropout", ("method=dropout",), 1.3),
    ("Gaussian dropout", ("method=gaussian_dropout",), None),
    ("VD", ("method=vd",), 2.4),
    ("VD, α per weight", ("method=vd", "method.layers.per=weight"), None),
    ("VD (A)", ("method=vd_a",), None),
    ("Sparse VD", ("method=sparse_vd",), 2.6),
    ("Sparse VD, train_clip", ("method=sparse_vd", "method.layers.train_clip=true"), None),
    ("mean-field VI", ("method=mean_field",), 2.8),
    (
        "mean-field VI, one draw, mixture",
        ("method=mean_field", "method.layers.estimator=single", "+method.layers.prior=mixture"),
        None,
    ),
)
TARGETS = {label: target for label, _, target in LAYERS if target is not None}


def measure(setting: Setting) -> Iterator[Row]:
    """Measure them all at each number of threads."""
    train = training_data(setting)
    loops: dict[str, Advance] = {label: loop_of(setting, train, LENET, *FULL_KL, *words) for label, words, _ in LAYERS}
    loops[PLAIN] = loop_of(setting, train, LENET, "method=adam")
    for threads in setting.threads:
        warm_up(list(loops.values()), threads, setting.warm_up // 2)
        blocks = alternate(loops, rounds=setting.rounds, block=setting.block, device=setting.device)
        yield from rows_of(blocks, setting.part, f"{widths(HIDDEN)}, batch {BATCH}", threads, PLAIN)
