"""The command line. Imports nothing heavy: `bnnbench --help` and TAB never load torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which way of approximating the posterior of a neural network is best: how accurate, how calibrated, "
    "how close to the true posterior, and at what cost?",
)
data_app = typer.Typer(no_args_is_help=True, help="Fetch and verify datasets.")
app.add_typer(data_app, name="data")


def _guarded(action: Callable[[], Any]) -> Any:
    """Run `action`; show an error that the user can mend in its own one or two lines and exit with 1."""
    from bnnbench.errors import BnnbenchError

    try:
        return action()
    except BnnbenchError as error:
        typer.echo(f"error: {error}", err=True)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
    except OSError as error:  # a folder that cannot be written, a full disk
        typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)


def _complete_overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete Hydra's overrides. bash splits words at '=': there, the words are glued and only the rest is given."""
    from bnnbench.compose import complete

    words = os.environ.get("COMP_WORDS", "").split()
    glued = incomplete
    if len(words) >= 2 and words[-1] == "=":
        glued = f"{words[-2]}={incomplete}"
    elif len(words) >= 3 and words[-2] == "=":
        glued = f"{words[-3]}={words[-1]}"
    found = complete(glued, [])
    cut = len(glued) - len(incomplete)
    if cut:  # e.g. `method`, `=`, `ps`: the shell replaces `ps` alone
        return [f[cut:] for f in found if f.startswith(glued[:cut])]
    return found


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

    Hydra's override grammar; -m sweeps over lists (method=sgld,psgld seed=0,1,2); --cfg job prints the configuration;
    --force runs anew over a finished run; --help lists every group and key.
    """
    arguments = ["force=true" if a == "--force" else a for a in overrides or []]

    def task(raw: dict[str, Any]) -> None:
        from bnnbench.run import run  # loads torch: not before the configuration is composed

        run(raw)

    def action() -> None:
        from bnnbench.compose import run_hydra

        run_hydra(arguments, task)

    _guarded(action)


@app.command("plot")
def plot_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.", show_default=False)],
    metric: Annotated[str, typer.Option(help="A column of metrics.csv.")] = "error",
    x: Annotated[str, typer.Option(help="iteration | epoch | grad_evals | seconds")] = "iteration",
    split: Annotated[str, typer.Option(help="test | valid | the name of an OOD set")] = "test",
    predictor: Annotated[str, typer.Option(help="posterior | current | both")] = "both",
    out: Annotated[Path, typer.Option(help="Name of the figure, without or with ending.")] = Path("error.png"),
    formats: Annotated[str, typer.Option(help="Comma-separated: png, pdf, svg.")] = "png,pdf,svg",
    title: Annotated[str | None, typer.Option(help="Title above the figure.")] = None,
    log_y: Annotated[bool, typer.Option("--log-y", help="Logarithmic y axis.")] = False,
    ymin: Annotated[float | None, typer.Option(help="Lower end of the y axis, in the axis' unit.")] = None,
    ymax: Annotated[float | None, typer.Option(help="Upper end of the y axis, in the axis' unit.")] = None,
) -> None:
    """Draw test error against iteration from the CSV files alone, in the style of the pSGLD paper."""

    def action() -> None:
        from bnnbench.plots import plot_curves

        written = plot_curves(
            paths,
            metric=metric,
            x=x,
            split=split,
            predictor=predictor,
            out=out,
            formats=tuple(f.strip() for f in formats.split(",")),
            title=title,
            log_y=log_y,
            ylim=None if ymin is None and ymax is None else (ymin, ymax),
        )
        for path in written:
            typer.echo(str(path))

    _guarded(action)


@app.command("ls")
def ls_command(
    what: Annotated[
        str, typer.Argument(help="methods | models | datasets | schedules | experiments | runs")
    ] = "methods",
    results: Annotated[Path, typer.Option(help="For runs: where they lie.")] = Path("results"),
) -> None:
    """List what can be run, or what has been run."""

    def action() -> None:
        from bnnbench.listing import show

        show(what, results)

    _guarded(action)


DataName = Annotated[str, typer.Argument(help="A dataset, see `bnnbench ls datasets`.", show_default=False)]
DataRoot = Annotated[str | None, typer.Option("--root", help="Folder; else $BNNBENCH_DATA, else a per-user cache.")]


@data_app.command("fetch")
def fetch_command(name: DataName, root: DataRoot = None) -> None:
    """Download a dataset and check it."""

    def action() -> None:
        from bnnbench.data import fetch_data

        for line in fetch_data(name, root):
            typer.echo(line)

    _guarded(action)


@data_app.command("verify")
def verify_command(name: DataName, root: DataRoot = None) -> None:
    """Check the files of a dataset: presence, checksums, shapes."""

    def action() -> None:
        from bnnbench.data import verify_data

        for line in verify_data(name, root):
            typer.echo(line)

    _guarded(action)


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
