"""The command line. Imports nothing heavy: `bnnbench --help` and TAB never load torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bnnbench.columns import MEASURES

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
        done = action()
        sys.stdout.flush()
        return done
    except BnnbenchError as error:
        typer.echo(f"error: {error}", err=True)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
    except BrokenPipeError:  # `bnnbench ls | head -1`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again as it leaves
    except OSError as error:  # a folder that cannot be written, a full disk
        typer.echo(f"error: {error.filename}: {error.strerror}." if error.filename else f"error: {error}", err=True)
    raise typer.Exit(1)


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


def _complete_among(*values: str) -> Callable[[str], list[str]]:
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def _complete_data(incomplete: str) -> list[str]:
    from bnnbench.plugins import names

    return [name for name in names("data") if name.startswith(incomplete)]


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


# The words that `plot` and `ls` take: written out, for the modules that own them import pandas and numpy.
X_AXES = ("iteration", "epoch", "grad_evals", "seconds")
PREDICTORS = ("posterior", "current", "both", "pooled")
LISTS = ("methods", "models", "datasets", "schedules", "experiments", "runs", "figures")


def _choice(values: tuple[str, ...], about: str = "") -> Any:
    return typer.Option(help=about + " | ".join(values), autocompletion=_complete_among(*values))


@app.command("plot")
def plot_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.", show_default=False)],
    metric: Annotated[str, _choice(MEASURES)] = "error",
    x: Annotated[str, _choice(X_AXES)] = "iteration",
    split: Annotated[str, typer.Option(help="test | valid | the name of an OOD set")] = "test",
    predictor: Annotated[str, _choice(PREDICTORS)] = "both",
    by: Annotated[str, typer.Option(help="method | a key such as method.update.lr: what names the lines")] = "method",
    out: Annotated[
        Path, typer.Option(help="A folder, a name without ending (one file per format), or a file such as error.pdf.")
    ] = Path("."),
    formats: Annotated[str, typer.Option(help="Comma-separated: png, pdf, svg.")] = "png,pdf,svg",
    title: Annotated[str | None, typer.Option(help="Title above the figure.")] = None,
    log_y: Annotated[bool, typer.Option("--log-y", help="Logarithmic y axis.")] = False,
    ymin: Annotated[float | None, typer.Option(help="Lower end of the y axis, in the axis' unit.")] = None,
    ymax: Annotated[float | None, typer.Option(help="Upper end of the y axis, in the axis' unit.")] = None,
) -> None:
    """Draw learning curves, by default test error against iterations, in the style of the pSGLD paper."""

    def action() -> None:
        from bnnbench.errors import ConfigError
        from bnnbench.plots import plot_curves

        if (ymin is None) != (ymax is None):
            raise ConfigError("--ymin and --ymax: give both or neither.")
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
            ylim=None if ymin is None or ymax is None else (ymin, ymax),
            by=by,
        )
        for path in written:
            typer.echo(str(path))

    _guarded(action)


JUDGED = ("best", "posterior", "current", "per_chain")


@app.command("compare")
def compare_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.", show_default=False)],
    by: Annotated[
        str, typer.Option(help="Comma-separated: method, model, or keys such as method.update.lr.")
    ] = "method",
    metric: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated, the one to compare in first: a measure of metrics.csv or seconds.",
            show_default="error,nll,ece,seconds; regression: rmse,nll,seconds",
            autocompletion=_complete_among("seconds", *MEASURES),
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="test | valid | the name of an OOD set")] = "test",
    predictor: Annotated[str, _choice(JUDGED)] = "best",
    out: Annotated[Path | None, typer.Option(help="Write the table too: FILE.csv or FILE.md.")] = None,
) -> None:
    """Compare finished runs: means over seeds, and paired differences to the best with intervals and p-values.

    best is the posterior mean, over all chains of a run, or the last iterate of a method that has no such mean;
    per_chain is the same of each chain by itself, each one more repetition.
    """

    def action() -> None:
        from bnnbench.atomic import check_target
        from bnnbench.compare import compare
        from bnnbench.comparison_text import ENDINGS, show

        target = None if out is None else check_target(out, ENDINGS)
        metrics = None if metric is None else _words(metric)
        show(compare(paths, by=_words(by), metrics=metrics, split=split, predictor=predictor), target)

    _guarded(action)


def _words(commas: str) -> list[str]:
    return [word.strip() for word in commas.split(",")]


@app.command("collect")
def collect_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="FILE.csv, replaced as a whole.", show_default="stdout")] = None,
) -> None:
    """Write all rows of all runs as one CSV: the settings that differ, the seed, the columns of metrics.csv."""

    def action() -> None:
        from bnnbench.collect import collect

        collect(paths, out)

    _guarded(action)


@app.command("ls")
def ls_command(
    what: Annotated[str, typer.Argument(help=" | ".join(LISTS), autocompletion=_complete_among(*LISTS))] = "methods",
    results: Annotated[Path, typer.Option(help="For runs and figures: where runs lie.")] = Path("results"),
) -> None:
    """List what can be run, what has been run, and how far the figures of papers are."""

    def action() -> None:
        from bnnbench.listing import show

        show(what, results)

    _guarded(action)


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
