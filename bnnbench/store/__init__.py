"""What a run leaves, written and read in one place.

A run is a folder: config.yaml, manifest.json, metrics.csv, checkpoint.pt, and error.txt if it failed. Each has one
writer and one reader. What they promise together:

* a reader sees the old file or the new one, never half of either (`files.replacing`); metrics.csv grows by whole
  evaluations, and a checkpoint counts its bytes, so that a run killed at any instant goes on to the same numbers;
* manifest and checkpoint carry the number of their format, ``schema``: older ones are read, newer ones are refused;
* a folder is data. Reading it runs no code that it names, and nothing but `checkpoint` needs torch, `frame` pandas.

To the rooms above: `RunFolder` to write a run, `run_path`, `is_finished`, `is_run`, `find_runs` and `Manifest` to ask
about one, and `bnnbench.store.frame` for its numbers.
"""

from bnnbench.store.find import find_runs, is_run
from bnnbench.store.folder import RunFolder, is_finished, run_path
from bnnbench.store.manifest import Manifest, RunStatus

__all__ = ["Manifest", "RunFolder", "RunStatus", "find_runs", "is_finished", "is_run", "run_path"]
