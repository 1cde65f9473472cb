"""The results of a search: best/<method>-<hash8>.yaml, to be run with ``+best=…``, and a closing table."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf
from rich.table import Table

from bnnbench.config.effect import declared_as, within
from bnnbench.experiment.progress import make_console
from bnnbench.store import files

if TYPE_CHECKING:
    from bnnbench.tune.search import Search

SEEDS = "0,1,2,3,4"  # of the runs that the last line of a search proposes


def write_best(search: Search, trials: int, parser: OverridesParser) -> Path | None:
    """Write the best settings of `search` and how they were found; return the file, None if no trial has a score."""
    study, best = search.study, search.study.best(trials)
    if best is None:
        return None
    # Device, threads and folders are for whoever runs the best settings to choose.
    left_out = {"seed", "eval.splits", *declared_as("place")}
    groups, values = [], OmegaConf.create({})
    for override in parser.parse_overrides([*search.overrides, *study.overrides(best)]):
        key = override.key_or_group
        loader = override.config_loader
        if within(key, left_out):
            continue
        if loader is not None and "." not in key and loader.get_group_options(key):
            place = f"{key}@{override.package}" if override.package else key
            groups.append({f"{'' if override.is_add() else 'override '}/{place}": override.value()})
        else:
            OmegaConf.update(values, key, override.value(), merge=False, force_add=True)
    OmegaConf.update(values, "name", f"{search.config['name']}-best")
    OmegaConf.update(values, "dataset.valid", 0)
    settings = OmegaConf.to_container(values, resolve=False)
    assert isinstance(settings, dict)
    chosen = {
        "study": str(study.file),
        "metric": search.measure.name,
        "split": "valid",
        "dataset.valid": search.config["dataset"]["valid"],
        "space": [str(d) for d in search.space],
        "search_seed": study.seed,
        "trials": len(study.trials(trials)),
        "failed": study.failed(trials),
        "trial": best.number,
        "value": best.value,
        "settings": dict(best.params),
    }
    file = study.file.parent / "best" / f"{study.file.stem.removeprefix('study-')}.yaml"
    text = yaml.safe_dump({"defaults": groups, **settings, "chosen": chosen}, sort_keys=False, allow_unicode=True)
    files.write(file, f"# @package _global_\n# The best of {chosen['trials']} trials on the validation split\n{text}")
    return file


def report(searches: Sequence[Search], files: Sequence[Path | None], trials: int, config_dirs: Sequence[str]) -> None:
    """Print a row for every method, and how to run the best settings."""
    console = make_console()
    console.print(_table(searches, trials))
    for search in searches:
        best = search.study.best(trials)
        for d in search.space:
            if best is not None and d.at_edge(best.params[d.key]):
                edge = f"{search.method}: {d.override(best.params[d.key])} lies at an end of what was searched ({d})."
                console.print(edge, highlight=False, markup=False, soft_wrap=True)
    found = [file for file in files if file is not None]
    if not found:
        return
    folder = str(found[0].parent.parent)
    places = ["--config-dir", folder]
    if config_dirs:
        places = ["--config-dir", config_dirs[0], f"hydra.searchpath=[{_quoted(folder)}]"]
    results = str(searches[0].config["results"])
    words = ["bnnbench", "run", "-m", *places, f"+best={','.join(file.stem for file in found)}", f"seed={SEEDS}"]
    words += [] if results == "results" else [f"results={_quoted(results)}"]
    console.print("The best settings, on all training points and on the test split:", highlight=False)
    console.print(f"  {shlex.join(words)}", highlight=False, markup=False, soft_wrap=True)


def _quoted(path: str) -> str:
    """Return `path` quoted as a value in Hydra's grammar."""
    return path if re.fullmatch(r"[\w./+-]+", path) else QuotedString(path, Quote.double).with_quotes()


def _table(searches: Sequence[Search], trials: int) -> Table:
    table = Table()
    measure = searches[0].measure
    for word in ("method", "best settings", f"valid {measure.head}", "trial", "trials", "failed"):
        table.add_column(word, justify="left" if word in ("method", "best settings") else "right", overflow="fold")
    for search in searches:
        best, study = search.study.best(trials), search.study
        cells = ["", "–", ""]
        if best is not None and best.value is not None:
            cells = ["\n".join(study.overrides(best)), measure.number(best.value), str(best.number)]
        table.add_row(search.method, *cells, str(len(study.trials(trials))), str(study.failed(trials)))
    return table
