"""A training step of each method, as a multiple of one of a bare loop in torch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bnnbench.bench.bare import BATCH, HIDDEN, bare_loop
from bnnbench.bench.loops import MLP, loop_of, warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Advance, alternate

BARE = "bare loop, SGD"
HELD = 100  # steps after which V is held, within the warm-up
# Label, overrides, and the multiple of the bare loop that is aimed at.
METHODS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("SGD", ("method=sgd",), 1.03),
    ("RMSprop", ("method=rmsprop",), None),
    ("SGLD", ("method=sgld",), 1.15),
    ("SGLD, 4 chains, each", ("method=sgld", "chains=4"), None),
    ("BN + SGLD", ("method=batchnorm_sgld",), None),
    ("pSGLD, V held", ("method=psgld", f"method.optimizer.v_adapt={HELD}"), 1.2),
    ("pSGLD, V moving", ("method=psgld", "method.optimizer.v_adapt=always"), None),
    (
        "pSGLD, Γ by Hutchinson",
        ("method=psgld", "method.optimizer.gamma=hutchinson", "method.optimizer.v_adapt=always"),
        None,
    ),
)
CHAINS = {"SGLD, 4 chains, each": 4}
TARGETS = {label: target for label, _, target in METHODS if target is not None}


def measure(setting: Setting) -> Iterator[Row]:
    """Measure them all at each number of threads."""
    train = training_data(setting)
    loops: dict[str, Advance] = {label: loop_of(setting, train, MLP, *words) for label, words, _ in METHODS}
    loops[BARE] = bare_loop(train)
    for threads in setting.threads:
        warm_up(list(loops.values()), threads, setting.warm_up)
        if setting.device.type == "cuda" and threads == setting.threads[0]:
            check_no_sync(loops, setting.device)
        blocks = alternate(loops, rounds=setting.rounds, block=setting.block, device=setting.device, chains=CHAINS)
        yield from rows_of(blocks, setting.part, f"{widths(HIDDEN)}, batch {BATCH}", threads, BARE)


def check_no_sync(loops: dict[str, Advance], device: torch.device) -> None:
    """Check that no step waits for the GPU; the steps up to here do not reach `DivergenceGuard.check`.

    Raises:
        RuntimeError: one does.
    """
    for advance in loops.values():
        torch.cuda.set_sync_debug_mode("error")
        try:
            advance(5)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    print(f"  no step waits for the device: checked on {torch.cuda.get_device_name(device)}", flush=True)
