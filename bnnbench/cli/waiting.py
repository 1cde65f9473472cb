"""How OpenMP's threads wait for work: actively for microseconds, so that two runs on the same cores go on.

As they come, idle threads of torch's pool spin for milliseconds on the cores that another process needs. Two runs with
two threads each on two cores then make a fraction of the steps of one; with a short wait they share them.
"""

from __future__ import annotations

import os

CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # any of these is the user's own choice
SPINS = "1000"  # some microseconds: more is faster alone and slower in company


def wait_briefly() -> None:
    """Let OpenMP's threads sleep soon when they have nothing to do; before torch is loaded, or it has no effect."""
    if not any(name in os.environ for name in CHOSEN):
        os.environ["GOMP_SPINCOUNT"] = SPINS
