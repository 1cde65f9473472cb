"""What `make check` keeps: the CSV, where it comes from, and the table of the docs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bnnbench.check.gradient_noise.base import BATCH
from bnnbench.check.table import Row
from bnnbench.check.verdict import RESOLVED, SIGMAS, TOLERANCE
from bnnbench.experiment import machine
from bnnbench.publishing import rows as csv_rows
from bnnbench.publishing.blocks import with_block
from bnnbench.publishing.commits import short
from bnnbench.publishing.markdown import markdown
from bnnbench.store import files
from bnnbench.store.folder import now

PUBLISHED, DOCS = Path("results/published/check.csv"), Path("docs/check.md")
NONE = "–"
HEAD = (
    *("target", "gradient noise", "T", "h", "η", "moment", "estimate", "discrete law", "posterior"),
    *("z", "bias", "ESS per gradient", "verdict"),
)


def provenance(seed: int, chains: int, samplers: Sequence[Any]) -> dict[str, Any]:
    """Return where rows come from: machine, versions, commit, seed, options of the samplers, date."""
    options = {sampler.name: dict(sampler.options) for sampler in samplers}
    facts = machine.describe(torch.device("cpu"), torch.get_num_threads())
    limits = {"standard_error": RESOLVED, "standard_errors": SIGMAS, "bias": TOLERANCE}
    return {
        **facts,
        "cores": os.cpu_count(),
        "date": now(),
        "seed": seed,
        "chains": chains,
        "batch_size": BATCH,
        "options": options,
        "limits": limits,
    }


def keep(rows: Sequence[Row], facts: Mapping[str, Any], path: Path) -> None:
    """Write the CSV at `path` and, beside it, `facts` in a file that ends in .json."""
    files.write(path, csv_rows.text(Row, rows))
    files.write(path.with_suffix(".json"), json.dumps(facts, indent=2, ensure_ascii=False, default=str) + "\n")


def read(path: Path) -> list[Row]:
    """Return the rows of the CSV at `path`, none if there is no such file.

    Raises:
        BnnbenchError: it is not one of the check.
    """
    return csv_rows.read(Row, path, "`bnnbench check`")


def table(rows: Sequence[Row]) -> str:
    """Return a section of Markdown for each sampler."""
    sections = []
    for name in dict.fromkeys(row.sampler for row in rows):
        lines = []
        for row in rows:
            if row.sampler == name:
                *numbers, verdict = cells(row)
                lines.append([*numbers, verdict + (f": {row.note}" if row.note else "")])
        sections.append(f"## {name}\n\n{markdown(HEAD, lines)}")
    return "\n\n".join(section.strip() for section in sections) + "\n"


def cells(row: Row) -> list[str]:
    """Return a row as text, below `HEAD`."""
    return [
        row.target.replace("_", " "),
        row.gradient_noise.replace("_", " "),
        f"{row.temperature:g}",
        f"{row.h:.2g}",
        f"{row.lr:.3g}",
        row.moment,
        NONE if row.estimate is None else f"{row.estimate:.3f} ± {row.error or 0:.3f}",
        number(row.law),
        number(row.posterior),
        number(row.z, 1),
        number(row.bias),
        NONE if row.ess_per_gradient is None else f"{row.ess_per_gradient:.2g}",
        row.verdict,
    ]


def number(value: float | None, decimals: int = 3) -> str:
    """Return a number as the tables show it."""
    return NONE if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0: no −0


def document(rows: Sequence[Row], facts: Mapping[str, Any], path: Path = DOCS) -> bool:
    """Write the table into the block of `path`; return whether the file is there and has another table now.

    Raises:
        BnnbenchError: the marks of the block are damaged.
    """
    if not path.is_file():
        return False
    versions = facts["versions"]
    source = (
        f"{facts['device_name']}, torch {versions['torch']}; commit {short(facts.get('git_commit'))}, "
        f"{str(facts['date'])[:10]}; seed {facts['seed']}, {facts['chains']} chains."
    )
    before = path.read_text("utf-8")
    after = with_block(before, "check", f"{table(rows)}\n{source}\n", str(path))
    if after != before:
        files.write(path, after)
    return after != before
