"""The command line. Imports nothing heavy: `bnnbench --help` and TAB never load torch."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bnnbench.cli import check, networks, results, run, streams, tune
from bnnbench.cli.common import LISTS, complete_among, guarded
from bnnbench.cli.data import data_app
from bnnbench.cli.waiting import wait_briefly


class _Group(TyperGroup):
    """The verbs; what they print before any of them begins, such as help, meets closed and full streams too."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        streams.open_closed()
        streams.replace_unknown()
        wait_briefly()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                sys.stderr.write(f"error: {error.strerror}: `ulimit -n` is too low for this command.\n")
            else:
                streams.silence(sys.stdout)
                sys.stderr.write(f"error: standard output could not be written: {error.strerror or error}.\n")
            sys.exit(1)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which way of approximating the posterior of a neural network is best: how accurate, how calibrated, "
    "how close to the true posterior, and at what cost?",
)


app.command(
    "run",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)(run.run_command)
app.command("plot")(results.plot_command)
app.command("tune", context_settings={"ignore_unknown_options": True})(tune.tune_command)
app.command("check")(check.check_command)
app.command("compare")(results.compare_command)
app.command("collect")(results.collect_command)
app.command("sparsity")(networks.sparsity_command)
app.command("export")(networks.export_command)


@app.command("ls")
def ls_command(
    what: Annotated[str, typer.Argument(help=" | ".join(LISTS), autocompletion=complete_among(*LISTS))] = "methods",
    results: Annotated[Path, typer.Option(help="For runs and figures: where runs lie.")] = Path("results"),
) -> None:
    """List what can be run, what has been run, and how far the figures of papers are."""

    def action() -> None:
        from bnnbench.cli.listing import show

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
