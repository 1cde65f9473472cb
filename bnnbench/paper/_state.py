"""The state of a figure: published, partly run, or missing."""

from __future__ import annotations

from pathlib import Path

from bnnbench.paper._figure import Figure
from bnnbench.paper._publish import PUBLISHED
from bnnbench.paper._runs import planned, status
from bnnbench.publishing.commits import short
from bnnbench.store.manifest import Manifest, RunStatus


def state(name: str, figure: Figure, results: Path) -> str:
    """Return "published, commit 0123456789", "partial, 3 of 7 runs" or "missing".

    Args:
        name: of the figure.
        figure: its description.
        results: the folder that runs write to.
    """
    from bnnbench.sweep.plan import combinations

    count = sum(len(combinations(sweep)) for sweep in figure.sweeps)
    if (PUBLISHED / f"{name}.png").is_file():
        manifests = sorted((PUBLISHED / name).rglob("manifest.json"))
        commits = sorted({short(Manifest.read(path.parent).commit) for path in manifests})
        # The sweep may have changed since then.
        part = f", {len(manifests)} of {count} runs" if count and len(manifests) != count else ""
        return f"published{part}, commit {', '.join(commits)}"
    if not count or not results.is_dir():
        return "missing"
    folders = planned(figure.sweeps, results)
    done = sum(status(folder) == RunStatus.FINISHED for folder in folders)
    begun = any(status(folder) != "missing" for folder in folders)
    return f"partial, {done} of {len(folders)} runs" if begun else "missing"
