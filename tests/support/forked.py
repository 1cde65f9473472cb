"""Processes forked from one that has loaded what a run needs: as separate and as mortal as any, and there in 0.1 s.

A new Python takes 6 s: it loads torch, and with the first optimiser torch._dynamo.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path


def forking() -> BaseContext:
    """Return the context of such processes. The one that they are forked from is started once, and ends with this one.

    Its environment is that of the first call: a later $OMP_NUM_THREADS comes too late for a torch that is loaded.
    """
    forkserver.set_forkserver_preload(["support.loaded"])
    with contextlib.chdir(Path(__file__).parents[1]):  # where it finds support
        forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")
