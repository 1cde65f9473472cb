"""The text below a figure: our scores beside published values, the sources of those, the provenance of ours."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from bnnbench.analysis.groups import Replicates, replicates
from bnnbench.analysis.plots.labels import legend_entries
from bnnbench.analysis.predictions import final_scores, last_scores, measures_in
from bnnbench.analysis.statistics import by_repetition, mean
from bnnbench.paper._figure import Figure, Value
from bnnbench.publishing.commits import short
from bnnbench.publishing.markdown import markdown
from bnnbench.store.find import find_runs
from bnnbench.store.frame import Run, load_run
from bnnbench.store.manifest import Manifest
from bnnbench.tasks.measures import BESIDE_THE_SCORE, SECONDS, Measure, main_measure


def runs_in(folder: Path) -> list[Run]:
    """Return the runs below `folder`, the coldest first, as in the legends."""
    runs = [load_run(path) for path in find_runs([folder])]
    return sorted(runs, key=lambda run: (run.manifest.get("temperature") or 0, str(run.folder)))


def text(figure: Figure, folder: Path, title: str, image: str, quick: bool = False) -> str:
    """Return the drawing and the text below it, as Markdown.

    Args:
        figure: the figure.
        folder: the data that it is drawn from.
        title: of the drawing.
        image: path of the drawing, relative to the file that the text goes into.
        quick: whether it is the quick version.
    """
    reduced = f"Quick version: {' '.join(figure.quick) or 'reduced budget'}. Of the full one:" if quick else ""
    table = (figure.table or scores)(folder, figure.published)
    words = textwrap.fill(f"{reduced} {figure.note}".strip(), 118, break_long_words=False)
    parts = [f"### {title}", f"![{title}]({image})", words, table, published(figure.published), provenance(folder)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def scores(folder: Path, values: Sequence[Value] = ()) -> str:
    """Return a table of the last test scores of each line, mean ± standard error over seeds, as Markdown."""
    runs = runs_in(folder)
    groups, measures = replicates(runs), measures_in(runs)
    main = main_measure(runs[0].manifest, final_scores(runs[0]))
    others = [measures[name] for name in BESIDE_THE_SCORE]
    beside = {value.method: value for value in values if value.method and value.x is None}
    head = ["method", "epochs", f"last iterate, {main.head}", f"posterior mean, {main.head}"]
    head += [*(measure.head for measure in others), "members", SECONDS.head]
    if beside:
        head.append(f"published, {main.head}")
    rows = []
    for group, name in zip(groups, legend_entries(groups, [""] * len(groups), fully=False), strict=True):
        row = [name, _over(group, lambda run: run.metrics["epoch"].max(), ".3g", spread=False)]
        row += [_score(group, lambda run: last_scores(run, "current"), main)]
        row += [_score(group, lambda run: last_scores(run, "posterior"), main)]
        row += [_score(group, final_scores, measure) for measure in others]
        row += [_over(group, lambda run: final_scores(run).get("members", math.nan), ".3g", spread=False)]
        row += [_over(group, lambda run: run.metrics["train_seconds"].max(), ".0f", spread=False)]
        if beside:
            value = beside.get(group.method)
            row.append(f"{value.text} ({value.mark})" if value else "–")
        rows.append(row)
    return markdown(head, rows)


def published(values: Sequence[Value]) -> str:
    """Return a table of `values` with their sources and marks; the points of a curve share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for value in values:
        cell = f"{value.text}{value.unit}" + (f" at {value.x:g}" if value.x is not None else "")
        rows.setdefault((value.what, value.source, value.mark), []).append(cell)
    if not rows:
        return ""
    lines = [[what, ", ".join(cells), source, mark] for (what, source, mark), cells in rows.items()]
    return markdown(["published", "value", "source", "how it is known"], lines)


def provenance(folder: Path) -> str:
    """Return the provenance of the numbers, in a line: seeds, machine, threads, torch, commit."""
    facts, seeds = [], set()
    for path in sorted(folder.rglob("manifest.json")):
        facts.append(Manifest.read(path.parent))
        if (path.parent / "config.yaml").is_file():
            seeds.add(load_run(path.parent).seed)
    machines = sorted({_machine(fact) for fact in facts})
    commits = sorted({short(fact.commit) for fact in facts})
    words = (
        f"{'Seeds' if len(seeds) > 1 else 'Seed'} {', '.join(map(str, sorted(s for s in seeds if s is not None)))}; "
    )
    return f"{words if seeds else ''}{'; '.join(machines)}; commit {', '.join(commits)}."


def _over(group: Replicates, measure: Callable[[Run], float], form: str, spread: bool = True) -> str:
    """Return the mean of `measure` over the seeds of `group`, with its standard error; "–" if a run lacks it."""
    seeds = [str(run.folder.name if run.seed is None else run.seed) for run in group.runs]
    values = pd.Series([measure(run) for run in group.runs], pd.Index(seeds, name="seed"))
    if values.isna().any():
        return "–"
    average = mean(by_repetition(values))
    error = f" ± {average.error:{form}}" if spread and average.error is not None else ""
    return f"{average.value:{form}}{error}"


def _score(group: Replicates, scores: Callable[[Run], dict[str, float]], measure: Measure) -> str:
    """Return the mean of `measure` over the seeds of `group`, in the unit of the table's head."""
    return _over(group, lambda run: measure.scale * scores(run).get(measure.name, math.nan), f".{measure.decimals}f")


def _machine(manifest: Manifest) -> str:
    if not manifest:
        return "unknown machine"
    threads, versions = manifest.get("threads"), manifest.get("versions", {})
    words = f"{threads} {'thread' if threads == 1 else 'threads'}"
    return f"{manifest.get('device_name')}, {words}, torch {versions.get('torch')}"
