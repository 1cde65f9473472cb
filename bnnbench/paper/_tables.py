"""The words below a figure: scores beside published values, where those are from, and where ours are from."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev

from bnnbench.analysis.plots.labels import Group, group, labels
from bnnbench.paper._figure import Figure, Value
from bnnbench.paper._runs import short
from bnnbench.store.find import find_runs
from bnnbench.store.frame import Run, last_scores, load_run
from bnnbench.store.manifest import Manifest


def runs_in(folder: Path) -> list[Run]:
    """Return the runs below `folder`, the coldest first, as the legends have them."""
    runs = [load_run(path) for path in find_runs([folder])]
    return sorted(runs, key=lambda run: (run.manifest.get("temperature") or 0, str(run.folder)))


def text(figure: Figure, folder: Path, title: str, image: str, quick: bool = False) -> str:
    """Return what stands below the drawing, as Markdown, the drawing included.

    Args:
        figure: whose.
        folder: the data that it was drawn from.
        title: of the drawing.
        image: the drawing, as seen from where the text will stand.
        quick: whether it is of the quick version.
    """
    reduced = f"Quick version: {' '.join(figure.quick) or 'reduced budget'}. Of the full one:" if quick else ""
    table = (figure.table or scores)(folder, figure.published)
    words = textwrap.fill(f"{reduced} {figure.note}".strip(), 118, break_long_words=False)
    parts = [f"### {title}", f"![{title}]({image})", words, table, published(figure.published), provenance(folder)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def scores(folder: Path, values: Sequence[Value] = ()) -> str:
    """Return a table of the last test scores of each line, mean ± standard error over seeds, as Markdown."""
    groups = group(runs_in(folder))
    beside = {value.method: value for value in values if value.method and value.x is None}
    head = ["method", "epochs", "last iterate, error %", "posterior mean, error %", "NLL", "ECE %", "members"]
    head += ["train s"] + ["published, error %"] * bool(beside)
    rows = []
    for g, name in zip(groups, labels(groups, [""] * len(groups)), strict=True):
        row = [name, _over(g, lambda run: run.metrics["epoch"].max(), ".3g", spread=False)]
        row += [_over(g, lambda run: _score(run, "current", "error", 100), ".2f")]
        row += [_over(g, lambda run: _score(run, "posterior", "error", 100), ".2f")]
        row += [_over(g, lambda run: _best(run, "nll", 1), ".4f"), _over(g, lambda run: _best(run, "ece", 100), ".2f")]
        row += [_over(g, lambda run: _best(run, "members", 1), ".3g", spread=False)]
        row += [_over(g, lambda run: run.metrics["train_seconds"].max(), ".0f", spread=False)]
        value = beside.get(g.method)
        row += [f"{value.text} ({value.mark})" if value else "–"] * bool(beside)
        rows.append(row)
    return markdown(head, rows)


def published(values: Sequence[Value]) -> str:
    """Return a table of what the papers give, each with its source and how it is known; the points of a curve in one
    row.
    """
    rows: dict[tuple[str, ...], list[str]] = {}
    for value in values:
        cell = f"{value.text}{value.unit}" + (f" at {value.x:g}" if value.x is not None else "")
        rows.setdefault((value.what, value.source, value.mark), []).append(cell)
    if not rows:
        return ""
    lines = [[what, ", ".join(cells), source, mark] for (what, source, mark), cells in rows.items()]
    return markdown(["published", "value", "source", "how it is known"], lines)


def provenance(folder: Path) -> str:
    """Return the line that says where the numbers are from: seeds, machine, threads, torch, commit."""
    facts, seeds = [], set()
    for path in sorted(folder.rglob("manifest.json")):
        facts.append(Manifest.read(path.parent))
        if (path.parent / "config.yaml").is_file():
            seeds.add(load_run(path.parent).seed)
    machines = sorted({_machine(fact) for fact in facts})
    commits = sorted({short(fact.commit) for fact in facts})
    words = f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(s for s in seeds if s is not None)))}; "
    return f"{words if seeds else ''}{'; '.join(machines)}; commit {', '.join(commits)}."


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _over(g: Group, measure: Callable[[Run], float], form: str, spread: bool = True) -> str:
    """Return the mean of `measure` over the runs of `g`, with its standard error; "–" if a run does not have it."""
    found = [measure(run) for run in g.runs]
    if any(math.isnan(value) for value in found):
        return "–"
    error = f" ± {stdev(found) / math.sqrt(len(found)):{form}}" if spread and len(found) > 1 else ""
    return f"{mean(found):{form}}{error}"


def _score(run: Run, predictor: str, measure: str, scale: float) -> float:
    return scale * last_scores(run, predictor).get(measure, math.nan)


def _best(run: Run, measure: str, scale: float) -> float:
    """Return a score of the posterior mean, or of the last iterate where there is no such mean."""
    return _score(run, "posterior" if last_scores(run, "posterior") else "current", measure, scale)


def _machine(manifest: Manifest) -> str:
    if not manifest:
        return "unknown machine"
    threads, versions = manifest.get("threads"), manifest.get("versions", {})
    words = f"{threads} thread{'s' * (threads != 1)}"
    return f"{manifest.get('device_name')}, {words}, torch {versions.get('torch')}"
