"""The runs of a figure: their folders, their status, and the sweeps that complete them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnnbench.errors import BnnbenchError
from bnnbench.store.manifest import Manifest, RunStatus


def planned(sweeps: Sequence[Sequence[str]], results: str | Path) -> list[Path]:
    """Return the folder of every run of `sweeps`, each once.

    Args:
        sweeps: override lists.
        results: the folder that runs write to.

    Raises:
        ConfigError: an override is wrong.
    """
    from bnnbench.config.composition import compose
    from bnnbench.store.folder import run_path
    from bnnbench.sweep.plan import combinations

    each = [overrides for sweep in sweeps for overrides in combinations(sweep)]
    return list(dict.fromkeys(run_path(compose([*overrides, f"results={results}"])) for overrides in each))


def status(folder: Path) -> str:
    """Return the status in the manifest of `folder`, one of `RunStatus`; "missing" without a manifest."""
    return Manifest.read(folder).status or "missing"


def run_missing(sweeps: Sequence[Sequence[str]], results: str | Path) -> list[Path]:
    """Run what is missing of `sweeps`, and return the folders of all their runs.

    Raises:
        ConfigError: an override is wrong.
        BnnbenchError: some runs did not finish; the message says which, and why.
    """
    each = [planned([sweep], results) for sweep in sweeps]
    folders = list(dict.fromkeys(folder for of_one in each for folder in of_one))
    done = sum(status(folder) == RunStatus.FINISHED for folder in folders)
    if folders:
        print(f"{done} of {len(folders)} runs are finished already", flush=True)
    errors: list[str] = []
    for sweep, of_one in zip(sweeps, each, strict=True):
        if all(status(folder) == RunStatus.FINISHED for folder in of_one):
            continue
        try:
            _sweep(sweep, results)
        except BnnbenchError as error:  # the other sweeps go on
            errors.append(str(error))
    unfinished = [folder for folder in folders if status(folder) != RunStatus.FINISHED]
    if unfinished:
        listed = [f"  {folder}: {status(folder)}{_reason(folder)}" for folder in unfinished]
        raise BnnbenchError("\n".join([f"{len(unfinished)} of {len(folders)} runs did not finish.", *errors, *listed]))
    return folders


def _sweep(overrides: Sequence[str], results: str | Path) -> None:
    """Run the sweep that ``bnnbench run -m`` would run."""
    from bnnbench.sweep.launchers.local import Local
    from bnnbench.sweep.sweep import sweep

    sweep([*overrides, f"results={results}"], Local())


def _reason(folder: Path) -> str:
    """Return the first line of the error that ended the run in `folder`, behind a colon."""
    error = Manifest.read(folder).get("error")
    return f": {error.splitlines()[0]}" if isinstance(error, str) and error else ""
