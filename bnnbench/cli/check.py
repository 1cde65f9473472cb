"""bnnbench check: samplers against targets whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnnbench.cli.common import guarded
from bnnbench.cli.completion import complete_overrides

if TYPE_CHECKING:
    from bnnbench.check.sampler import Sampler
    from bnnbench.check.table import Row


def check_command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]...",
            help="method=…, method.optimizer.…=…, temperature=…; every sampler if none.",
            autocompletion=complete_overrides,
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer settings: below half a minute.")] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Write results/published/check.csv and the table of docs/check.md.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the rows to this CSV file.")] = None,
    seed: Annotated[int, typer.Option(help="Of starts, minibatches and noise.")] = 0,
    config_dir: Annotated[
        list[str] | None, typer.Option(help="A folder of your own yaml files.", show_default=False)
    ] = None,
) -> None:
    """Compare samplers with the exact law of their discrete chain and the exact posterior.

    bnnbench check method=psgld

    bnnbench check method.optimizer.name=mypkg.Mine

    Moments are in units of the posterior at T = 1: means in its standard
    deviations from its mean, variances in its variances. h is the dimensionless
    step size, η times the largest eigenvalue of G and the Hessian: at 2 the
    chain diverges. z counts standard errors from the law of the discrete chain;
    where that is not known, the posterior itself must be met within a tenth.

    The exit code is 1 if anything fails.
    """
    guarded(lambda: _check(overrides or [], quick, publish, out, seed, config_dir or []))


def _check(
    overrides: list[str], quick: bool, publish: bool, out: Path | None, seed: int, config_dirs: list[str]
) -> None:
    from bnnbench.errors import ConfigError

    if publish and (quick or overrides or out):
        raise ConfigError("--publish is of every sampler in every setting: it goes alone, or with --seed.")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed {seed}: input should be 0 or more, and below 2**32.")
    import torch

    from bnnbench.check.samplers import samplers
    from bnnbench.check.verdict import FAIL, UNRESOLVED

    chosen = samplers(overrides, config_dirs)
    torch.set_num_threads(1)  # the tensors are small
    facts = _facts(chosen, seed) if out is not None or publish else {}  # the commit is that of the beginning
    rows = _rows(chosen, quick, seed)
    if facts:
        _keep(rows, facts, out, publish)
    verdicts = [row.verdict for row in rows]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(["pass", *sorted(set(verdicts))]))
    typer.echo(f"\n{counts}")
    if UNRESOLVED in verdicts:
        typer.echo("unresolved is no pass: the draws were too few to tell, or none were made")
    if FAIL in verdicts:
        raise typer.Exit(1)


def _rows(chosen: list[Sampler], quick: bool, seed: int) -> list[Row]:
    """Run the settings and print their rows as they come."""
    from bnnbench.check.case import run
    from bnnbench.check.plan import cases
    from bnnbench.check.report import HEAD
    from bnnbench.errors import BnnbenchError

    rows: list[Row] = []
    _line(*HEAD)
    for sampler in chosen:
        typer.echo(sampler.name)
        mine: list[Row] = []
        for case in cases(sampler, quick):
            found = run(case, sampler, seed)
            for row in found:
                _show(row)
            mine += found
        if not mine:
            raise BnnbenchError(
                f"{sampler.name}: nothing to compare with. Its law is not known here; leave out lr and temperature."
            )
        rows += mine
    return rows


def _show(row: Row) -> None:
    from bnnbench.check.report import cells

    if row.note:
        typer.echo(f"error: {row.sampler} on {row.target}, T = {row.temperature:g}: {row.note}", err=True)
    _line(*cells(row))


def _line(*cells: str) -> None:
    widths = (20, 14, 4, 5, 8, 9, 16, 12, 9, 6, 7, 16, 10)
    typer.echo(" " + " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _facts(chosen: list[Sampler], seed: int) -> dict[str, Any]:
    from bnnbench.check.case import CHAINS
    from bnnbench.check.report import provenance

    return provenance(seed, CHAINS, chosen)


def _keep(rows: list[Row], facts: dict[str, Any], out: Path | None, publish: bool) -> None:
    from bnnbench.check.report import DOCS, PUBLISHED, document, keep, read
    from bnnbench.check.table import moved

    path = PUBLISHED if publish else out
    assert path is not None
    before = read(path)
    lines = moved(rows, before)
    keep(rows, facts, path)
    typer.echo(f"\n{path}")
    for line in lines:
        typer.echo(f"moved: {line}")
    if before and not lines:
        typer.echo("no number has moved")
    if publish and document(rows, facts):
        typer.echo(str(DOCS))
