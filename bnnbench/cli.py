"""The command line. Imports nothing heavy: `bnnbench --help` and TAB never load torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bnnbench.commands import networks, results, tune
from bnnbench.commands._shared import complete_among, guarded
from bnnbench.commands.data import data_app

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which way of approximating the posterior of a neural network is best: how accurate, how calibrated, "
    "how close to the true posterior, and at what cost?",
)


class _AfterEqualsSign(str):
    """bash asks with `=` for what follows `method=`. Typer keeps what starts with `=`, but bash wants it without."""

    def startswith(self, *_: Any) -> bool:
        return True


def _complete_overrides(incomplete: str) -> list[str]:
    """Complete Hydra's overrides."""
    from bnnbench.compose import complete, words_from_shell

    words, replaced = words_from_shell(os.environ, incomplete)
    kept = len(words[-1]) - len(replaced)
    found = [word[kept:] for word in complete(words) if word.startswith(words[-1])]
    return found if replaced == incomplete else [_AfterEqualsSign(word) for word in found]


@app.command(
    "run",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def run_command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OVERRIDES]...", autocompletion=_complete_overrides, show_default=False),
    ] = None,
) -> None:
    """Run a method: bnnbench run method=psgld dataset=mnist method.update.lr=1e-3.

    Hydra's override grammar; -m sweeps over lists (method=sgld,psgld seed=0,1,2), -j 4 of them at a time; --cfg job
    prints the configuration; --force runs anew over a finished run; --help lists every group and key.
    """
    arguments = ["force=true" if a == "--force" else a for a in overrides or []]

    def task(raw: dict[str, Any]) -> None:
        from bnnbench.run import run  # loads torch: not before the configuration is composed

        run(raw)

    def action() -> None:
        from bnnbench.compose import run_hydra

        run_hydra(arguments, task)

    guarded(action)


app.command("plot")(results.plot_command)
app.command("tune", context_settings={"ignore_unknown_options": True})(tune.tune_command)
app.command("compare")(results.compare_command)
app.command("collect")(results.collect_command)
app.command("sparsity")(networks.sparsity_command)
app.command("export")(networks.export_command)

LISTS = ("methods", "models", "datasets", "schedules", "experiments", "runs", "figures")


@app.command("ls")
def ls_command(
    what: Annotated[str, typer.Argument(help=" | ".join(LISTS), autocompletion=complete_among(*LISTS))] = "methods",
    results: Annotated[Path, typer.Option(help="For runs and figures: where runs lie.")] = Path("results"),
) -> None:
    """List what can be run, what has been run, and how far the figures of papers are."""

    def action() -> None:
        from bnnbench.listing import show

        show(what, results)

    guarded(action)


app.add_typer(data_app, name="data")


def _version(shown: bool) -> None:
    if shown:
        from bnnbench import __version__

        typer.echo(f"bnnbench {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Nothing to do before a verb."""


if __name__ == "__main__":
    sys.exit(app())
