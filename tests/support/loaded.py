"""What a run needs, imported by the process that others are forked from, see forked.py."""

import atexit
import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # whose bnnbench it is

import torch._dynamo  # noqa: F401  # the first optimiser needs it

import bnnbench.experiment.run  # noqa: F401

gc.collect()
gc.freeze()  # a collection in a forked process would copy all that was imported
atexit.register(gc.unfreeze)  # what is still frozen at the end, libraries report as leaked
