"""The verbs that read the records of runs: plot, compare, collect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bnnbench.cli.common import choice, complete_among, guarded, no_screen, words
from bnnbench.tasks.measures import BESIDE_THE_SCORE, MEASURES, SECONDS

# Written out, since the modules that own them import pandas and numpy.
X_AXES = ("iteration", "epoch", "grad_evals", "seconds")
PREDICTORS = ("posterior", "current", "both", "pooled")
JUDGED = ("best", "posterior", "current", "per_chain")  # of `compare`
COMPARED = (*MEASURES, SECONDS.name)


def plot_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that contain some.", show_default=False)],
    metric: Annotated[
        str | None,
        typer.Option(
            help=f"{' | '.join(MEASURES)}, or a measure of the task's own.",
            show_default="the task's score",
            autocompletion=complete_among(*MEASURES),
        ),
    ] = None,
    x: Annotated[str, choice(X_AXES)] = "iteration",
    split: Annotated[str, typer.Option(help="test | valid | the name of an OOD set")] = "test",
    predictor: Annotated[str, choice(PREDICTORS)] = "both",
    by: Annotated[
        str, typer.Option(help="Setting that distinguishes the lines: method, or a key such as method.optimizer.lr.")
    ] = "method",
    out: Annotated[
        Path, typer.Option(help="A folder, a name without extension (a file per format), or a file such as error.pdf.")
    ] = Path("."),
    formats: Annotated[str, typer.Option(help="Comma-separated: png, pdf, svg.")] = "png,pdf,svg",
    title: Annotated[str | None, typer.Option(help="Title above the figure.")] = None,
    log_y: Annotated[bool, typer.Option("--log-y", help="Logarithmic y axis.")] = False,
    ymin: Annotated[float | None, typer.Option(help="Lower end of the y axis, in its unit.")] = None,
    ymax: Annotated[float | None, typer.Option(help="Upper end of the y axis, in its unit.")] = None,
) -> None:
    """Draw learning curves, by default the test score against iterations, in the style of the pSGLD paper."""

    def action() -> None:
        no_screen()
        from bnnbench.analysis.plots import plot_curves
        from bnnbench.errors import ConfigError

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

    guarded(action)


def compare_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that contain some.", show_default=False)],
    by: Annotated[
        str, typer.Option(help="Comma-separated: method, model, or keys such as method.optimizer.lr.")
    ] = "method",
    metric: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated measures of metrics.csv, or seconds; groups are compared in the first.",
            show_default=f"the task's score,{','.join((*BESIDE_THE_SCORE, SECONDS.name))}",
            autocompletion=complete_among(*COMPARED),
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="test | valid | the name of an OOD set")] = "test",
    predictor: Annotated[str, choice(JUDGED)] = "best",
    out: Annotated[Path | None, typer.Option(help="Also write the table: FILE.csv or FILE.md.")] = None,
) -> None:
    """Compare finished runs: means over seeds, and paired differences to the best with intervals and p-values.

    Predictor best is the posterior mean over all chains of a run, or the last iterate where a method has no such mean;
    per_chain is the same for each chain by itself, each a repetition of its own.
    """

    def action() -> None:
        from bnnbench.analysis.compare import compare
        from bnnbench.analysis.tables import ENDINGS, print_comparison
        from bnnbench.experiment.progress import make_console
        from bnnbench.store.targets import check_target

        target = None if out is None else check_target(out, ENDINGS)
        metrics = None if metric is None else words(metric)
        comparison = compare(paths, by=words(by), metrics=metrics, split=split, predictor=predictor)
        print_comparison(comparison, make_console(), target)

    guarded(action)


def collect_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that contain some.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="FILE.csv, replaced atomically.", show_default="stdout")] = None,
) -> None:
    """Write all rows of all runs as one CSV: the settings that differ, the seed, and the columns of metrics.csv."""

    def action() -> None:
        from bnnbench.analysis.collect import collect

        collect(paths, out)

    guarded(action)
