"""What a search leaves: best/<method>.yaml, to be run with ``+best=<method>``, and a closing table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import OmegaConf
from optuna.trial import TrialState
from rich.table import Table

from bnnbench import atomic
from bnnbench.records import run_path

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from bnnbench.tuning import Search

# Where and on what a run is made is for whoever runs the best settings to say.
LEFT_OUT = ("name", "results", "device", "threads", "data", "checkpoint_every", "force", "eval.splits", "dataset.valid")


def write_best(search: Search, trials: int, metric: str, seed: int, parser: OverridesParser) -> Path | None:
    """Write the best settings of `search` and how they were found; return the file, None if no trial has a score."""
    best = search.study.best(trials)
    if best is None:
        return None
    groups, values = [], OmegaConf.create({})
    overrides = [*search.overrides, *search.study.overrides(best)]
    for override in parser.parse_overrides(overrides):
        key = override.key_or_group
        if key in LEFT_OUT or key.partition(".")[0] in LEFT_OUT:
            continue
        loader = override.config_loader
        if loader is not None and "." not in key and loader.get_group_options(key):
            place = f"{key}@{override.package}" if override.package else key
            word = "" if override.is_add() else "override "
            groups = [entry for entry in groups if place not in entry]
            groups.append({f"{word}/{place}": override.value()})
        else:
            OmegaConf.update(values, key, override.value(), merge=False, force_add=True)
    OmegaConf.update(values, "name", f"{search.config['name']}-best")
    OmegaConf.update(values, "dataset.valid", 0)
    states = [trial.state for trial in search.study.trials(trials)]
    found = {
        "study": str(search.study.file),
        "metric": metric,
        "split": "valid",
        "dataset.valid": search.config["dataset"]["valid"],
        "space": [str(d) for d in search.space],
        "trials": len(states),
        "failed": sum(state != TrialState.COMPLETE for state in states),
        "seed": seed,
        "best_trial": best.number,
        "best_value": best.value,
        "values": dict(best.params),
    }
    content = {"defaults": groups, **_plain(values), "chosen": found}
    file = search.study.file.parent / "best" / f"{search.method}.yaml"
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    atomic.write(file, f"# @package _global_\n# The best of {len(states)} trials on the validation split\n{text}")
    return file


def _plain(values: Any) -> dict[str, Any]:
    plain = OmegaConf.to_container(values, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def report(
    searches: Sequence[Search], files: Sequence[Path | None], trials: int, metric: str, loader: ConfigLoader
) -> None:
    """Print a row for every method, and how to run what is best."""
    from bnnbench.progress import make_console

    console = make_console()
    console.print(_table(searches, trials, metric))
    for search in searches:
        best = search.study.best(trials)
        for d in search.space:
            if best is not None and d.at_edge(best.params[d.key]):
                edge = f"{search.method}: {d.override(best.params[d.key])} lies at an end of what was searched ({d})."
                console.print(edge, highlight=False, markup=False, soft_wrap=True)
    found = [search.method for search, file in zip(searches, files, strict=True) if file is not None]
    if not found:
        return
    folder = searches[0].study.file.parent
    theirs = [source.path for source in loader.get_sources() if source.provider == "command-line"]
    places = ["--config-dir", theirs[0], f"hydra.searchpath=[{folder}]"] if theirs else ["--config-dir", str(folder)]
    sweep = ["-m"] if len(found) > 1 else []
    results = str(run_path(searches[0].config).parent.parent)
    results_word = [] if results == "results" else [f"results={results}"]
    words = ["bnnbench", "run", *sweep, *places, f"+best={','.join(found)}", *results_word]
    console.print("The best settings, on all training points:", highlight=False)
    console.print(f"  {shlex.join(words)}", highlight=False, markup=False, soft_wrap=True)


def _table(searches: Sequence[Search], trials: int, metric: str) -> Table:
    table = Table()
    head = f"valid {metric}{' %' * (metric == 'error')}"
    for word, side in (
        *(("method", "left"), (head, "right"), ("best settings", "left"), ("trial", "right")),
        *(("finished", "right"), ("failed", "right")),
    ):
        table.add_column(word, justify=side, overflow="fold")  # type: ignore[arg-type]
    for search in searches:
        states = [trial.state for trial in search.study.trials(trials)]
        done = sum(state == TrialState.COMPLETE for state in states)
        best, cells = search.study.best(trials), ["–", "", ""]
        if best is not None and best.value is not None:
            number = f"{100 * best.value:.2f}" if metric == "error" else f"{best.value:.4f}"
            cells = [number, "\n".join(search.study.overrides(best)), str(best.number)]
        table.add_row(search.method, *cells, str(done), str(len(states) - done))
    return table
