"""bnnbench data: fetch and verify datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from bnnbench.cli.common import guarded

data_app = typer.Typer(no_args_is_help=True, help="Fetch and verify datasets.")


def _complete_data(incomplete: str) -> list[str]:
    from bnnbench.config.plugins import names

    return [name for name in names("data") if name.startswith(incomplete)]


DataName = Annotated[
    str, typer.Argument(help="See `bnnbench ls datasets`.", show_default=False, autocompletion=_complete_data)
]
DataRoot = Annotated[str | None, typer.Option("--root", help="Folder; else $BNNBENCH_DATA, else a per-user cache.")]


@data_app.command("fetch")
def fetch_command(name: DataName, root: DataRoot = None) -> None:
    """Download a dataset and check it."""

    def action() -> None:
        from bnnbench.data import fetch_data

        for line in fetch_data(name, root):
            typer.echo(line)

    guarded(action)


@data_app.command("verify")
def verify_command(name: DataName, root: DataRoot = None) -> None:
    """Check the files of a dataset: presence, checksums, shapes."""

    def action() -> None:
        from bnnbench.data import verify_data

        for line in verify_data(name, root):
            typer.echo(line)

    guarded(action)
