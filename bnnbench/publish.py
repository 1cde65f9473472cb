"""Puts the small files behind a figure of the README under results/published and draws figure and table from them.

    python -m bnnbench.publish results/psgld_mnist --name psgld_mnist --x epoch

The table replaces what stands in README.md between ``<!-- NAME -->`` and ``<!-- end NAME -->``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

from bnnbench.errors import BnnbenchError
from bnnbench.plots import plot_curves
from bnnbench.results import Run, find_runs, last_scores, load_run

PUBLISHED = Path("results/published")
FILES = ("config.yaml", "manifest.json", "metrics.csv")


def publish(paths: list[str], name: str, x: str) -> None:
    """Copy the runs at or below `paths` to results/published/`name`, draw `name`.png and write `name`.md.

    Raises:
        BnnbenchError: no runs, or one that is not finished; nothing was changed.
    """
    published = PUBLISHED.resolve()
    runs = [load_run(folder) for folder in find_runs(paths) if published not in folder.resolve().parents]
    unfinished = [str(run.folder) for run in runs if run.status != "finished"]
    if unfinished or not runs:
        raise BnnbenchError(f"not finished: {', '.join(unfinished) or 'no run at all'}. Run them to their end first.")
    target, partial = PUBLISHED / name, PUBLISHED / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for run in runs:
        folder = partial / run.folder.parent.name / run.folder.name
        folder.mkdir(parents=True)
        for file in FILES:
            shutil.copy(run.folder / file, folder / file)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    for drawn in plot_curves([target], out=PUBLISHED / f"{name}.png", x=x, predictor="posterior"):
        print(drawn)
    text = table([load_run(folder) for folder in find_runs([target])])
    (PUBLISHED / f"{name}.md").write_text(text)
    print(PUBLISHED / f"{name}.md")
    readme = Path("README.md")
    if readme.is_file() and f"<!-- {name} -->" in readme.read_text():
        block = f"<!-- {name} -->\n{text}<!-- end {name} -->"
        pattern = f"<!-- {name} -->.*<!-- end {name} -->"
        readme.write_text(re.sub(pattern, lambda _: block, readme.read_text(), flags=re.DOTALL))


def table(runs: list[Run]) -> str:
    """Return a Markdown table of the runs' last test scores, and where they come from."""
    lines = [
        "| method | T | epochs | last iterate, error % | posterior mean, error % | NLL | ECE % | members | train s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in sorted(runs, key=lambda r: (r.manifest.get("temperature") or 0, str(r.folder))):
        current, posterior = last_scores(run, "current"), last_scores(run, "posterior")
        best = posterior or current
        cells = [
            str(run.manifest["label"]),
            _temperature(run),
            f"{run.metrics.epoch.max():g}",
            f"{100 * current['error']:.2f}",
            f"{100 * posterior['error']:.2f}" if posterior else "–",
            f"{best['nll']:.4f}",
            f"{100 * best['ece']:.2f}",
            f"{best['members']:g}",
            f"{run.metrics.train_seconds.max():.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    facts = [run.manifest for run in runs]
    machines = sorted({f"{m['device_name']}, {m['threads']} threads, torch {m['versions']['torch']}" for m in facts})
    commits = sorted({_short(m["git_commit"]) for m in facts})
    seeds = sorted({str(run.seed) for run in runs})
    lines += ["", f"Seed {', '.join(seeds)}; {'; '.join(machines)}; commit {', '.join(commits)}."]
    return "\n".join(lines) + "\n"


def _temperature(run: Run) -> str:
    temperature = run.manifest.get("temperature")
    if temperature is None:
        return "–"
    return "1/N" if abs(temperature * run.manifest["num_data"] - 1) < 1e-9 else f"{temperature:g}"


def _short(commit: str | None) -> str:
    """Return ten digits of the commit, with the ``+`` of a changed working tree."""
    return "unknown" if commit is None else commit[:10] + "+" * commit.endswith("+")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--name", required=True)
    parser.add_argument("--x", default="epoch")
    given = parser.parse_args()
    try:
        publish(given.paths, given.name, given.x)
    except BnnbenchError as problem:
        sys.exit(f"error: {problem}")
