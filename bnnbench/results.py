"""Runs as one tidy DataFrame, ``bnnbench.results.load("results/adhoc")``, without torch. See `bnnbench.store.frame`."""

from bnnbench.store.find import find_runs
from bnnbench.store.frame import Run, frame, load, load_run, load_runs, read_runs

__all__ = ["Run", "find_runs", "frame", "load", "load_run", "load_runs", "read_runs"]
