"""The runs of a figure: which they are, how far they are, and the sweeps that make what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bnnbench.errors import BnnbenchError


def combinations(sweep: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each run of a sweep, as Hydra's own sweeper combines them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(sweep))
    return [list(overrides) for overrides in BasicSweeper.split_arguments(parsed, None)[0]]


def planned(sweeps: Sequence[Sequence[str]], results: str | Path) -> list[Path]:
    """Return the folder of every run of `sweeps`, each once.

    Args:
        sweeps: override lists.
        results: where runs write to.

    Raises:
        ConfigError: an override is wrong.
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from bnnbench.compose import conf_dir, translate
    from bnnbench.config import folder_name

    folders: dict[Path, None] = {}
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            for overrides in (combination for sweep in sweeps for combination in combinations(sweep)):
                config = compose("config", overrides=[*overrides, f"results={results}"])
                raw: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
                folders[Path(raw["results"]) / raw["name"] / folder_name(raw)] = None
    except Exception as error:
        raise translate(error) from error
    return list(folders)


def status(folder: Path) -> str:
    """Return the word of the manifest in `folder`: finished, failed, running or interrupted; "missing" without one."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        return str(manifest["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return "missing"


def short(commit: str | None) -> str:
    """Return ten digits of the commit, with the ``+`` of a changed working tree."""
    return "unknown" if commit is None else commit[:10] + "+" * commit.endswith("+")


def run_missing(sweeps: Sequence[Sequence[str]], results: str | Path) -> list[Path]:
    """Run what is missing of `sweeps` and return the folders of all their runs.

    Raises:
        ConfigError: an override is wrong.
        BnnbenchError: runs are not finished at the end; the message says which, and why.
    """
    each = [planned([sweep], results) for sweep in sweeps]
    folders = list(dict.fromkeys(folder for of_one in each for folder in of_one))
    done = sum(status(folder) == "finished" for folder in folders)
    if folders:
        print(f"{done} of {len(folders)} runs are finished already", flush=True)
    said: list[str] = []
    for sweep, of_one in zip(sweeps, each, strict=True):
        if all(status(folder) == "finished" for folder in of_one):
            continue
        try:
            _sweep(sweep, results)
        except BnnbenchError as error:  # the other sweeps go on
            said.append(str(error))
    unfinished = [folder for folder in folders if status(folder) != "finished"]
    if unfinished:
        listed = [f"  {folder}: {status(folder)}{_reason(folder)}" for folder in unfinished]
        raise BnnbenchError("\n".join([f"{len(unfinished)} of {len(folders)} runs did not finish.", *said, *listed]))
    return folders


def _sweep(sweep: Sequence[str], results: str | Path) -> None:
    """Do what ``bnnbench run -m`` does."""
    from bnnbench.compose import run_hydra

    def task(raw: dict[str, Any]) -> None:
        from bnnbench.run import run  # loads torch

        run(raw)

    run_hydra(["-m", *sweep, f"results={results}"], task)


def _reason(folder: Path) -> str:
    try:
        return f": {(folder / 'error.txt').read_text('utf-8').splitlines()[0]}"
    except (OSError, IndexError):
        return ""
