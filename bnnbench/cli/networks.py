"""The verbs that use the network of a run: sparsity, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bnnbench.cli.common import guarded, no_screen

Device = Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:1")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]
Chain = Annotated[int, typer.Option(help="Which of the run's K networks, from 0.")]
AllowCode = Annotated[
    list[str] | None,
    typer.Option(
        help="A package of your own that the run may import; other code that its files name is refused.",
        metavar="PACKAGE",
        show_default=False,
    ),
]
OutFolder = Annotated[Path | None, typer.Option(help="Folder for the files; else the run's own.")]


def sparsity_command(
    run: RunPath,
    chain: Chain = 0,
    thresholds: Annotated[
        str | None, typer.Option(help="Of log α: -2,0,3 or first:last:step; else -8:8:0.5. The run's own is added.")
    ] = None,
    out: OutFolder = None,
    formats: Annotated[str, typer.Option(help="Comma-separated: png, pdf, svg.")] = "png,pdf,svg",
    device: Device = "auto",
    allow_code: AllowCode = None,
) -> None:
    """Show error and remaining weights against the threshold of log α for dropping weights, without retraining."""

    def action() -> None:
        no_screen()
        from bnnbench.deploy.sparsity_curve import GRID, parse_thresholds, sparsity_curve

        grid = GRID if thresholds is None else parse_thresholds(thresholds)
        kinds = tuple(f.strip() for f in formats.split(","))
        allowed = allow_code or ()
        for path in sparsity_curve(
            run, chain=chain, thresholds=grid, out=out, formats=kinds, device=device, allow_code=allowed
        ):
            typer.echo(str(path))

    guarded(action)


def export_command(
    run: RunPath,
    sparse: Annotated[
        bool, typer.Option("--sparse", help="Also write the non-zero weights to a compressed file.")
    ] = False,
    chain: Chain = 0,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Drop weights with log α above this, not the layers' own. Needs --sparse.", show_default=False
        ),
    ] = None,
    out: OutFolder = None,
    device: Device = "auto",
    allow_code: AllowCode = None,
) -> None:
    """Write a trained network as a plain one, for use without stochastic layers; check it against the run.

    Weights that the run's layers drop when they predict, as Sparse VD's do above their threshold, are 0 in it.
    """

    def action() -> None:
        from bnnbench.deploy.export import export

        allowed = allow_code or ()
        export(run, sparse=sparse, chain=chain, threshold=threshold, out=out, device=device, allow_code=allowed)

    guarded(action)
