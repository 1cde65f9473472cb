"""bnnbench tune: search for a method's settings on the validation split."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from bnnbench.cli.common import complete_among, guarded
from bnnbench.tasks.measures import MEASURES, judging

MOST = 100_000  # trials
METRICS = tuple(measure.name for measure in judging(MEASURES.values()))


def tune_command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]...", help="As for `run`; keys with several values form the space.", show_default=False
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="Runs of each method.")] = 20,
    metric: Annotated[
        str,
        typer.Option(
            help="Of the posterior mean, else of the last iterate: "
            f"{' | '.join(METRICS)}, or a measure of the task's own.",
            autocompletion=complete_among(*METRICS),
        ),
    ] = "nll",
    seed: Annotated[int, typer.Option(help="Seed of the search; that of the runs is seed=…")] = 0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Runs in parallel.", show_default="as for `run -m`")
    ] = None,
) -> None:
    """Search for settings on the validation split, with as many trials for every method.

    bnnbench tune method=sgd,sgld dataset.valid=0.2

    bnnbench tune method=psgld dataset.valid=0.2 --trials 40 batch_size=50,100
    'method.optimizer.lr=tag(log,interval(1e-5,1e-2))'

    Keys with several values make the space, in Hydra's grammar: interval(a,b),
    int(interval(a,b)), tag(log,interval(a,b)), range(a,b), choice(a,b) or a,b.
    Without any it is the step size, from a 30th of its value to 30 times it.

    Every trial is an ordinary run, by default below results/tune. Trial 0 has
    the settings as they stand; one that fails counts. The same command does
    what is left, with a larger --trials more. Its last line is the command that
    runs the best settings with several seeds, on all training points, and
    evaluates them on the test split.
    """

    def action() -> None:
        from bnnbench.errors import BnnbenchError, ConfigError

        if trials > MOST:
            raise ConfigError(f"--trials {trials}: input should be at most {MOST}.")
        for name, value, least in (("trials", trials, 1), ("seed", seed, 0), ("jobs", jobs, 1)):
            if value is not None and value < least:
                raise ConfigError(f"--{name} {value}: input should be {least} or more.")
        if "--force" in (overrides or []):
            raise ConfigError("--force: a search repeats no trial. Take another name=… to search anew.")
        try:
            import optuna  # noqa: F401
        except ImportError:
            raise BnnbenchError("bnnbench tune needs Optuna: pip install 'bnnbench[tune]'.") from None
        from bnnbench.cli.hydra_app import read_words, run_hydra
        from bnnbench.tune.tuner import Tuner

        at_once = [] if jobs is None else [f"hydra.launcher.n_jobs={jobs}"]
        tuner = Tuner(trials, metric, seed)
        run_hydra(read_words(["-m", *(overrides or []), *at_once]), _run, tuner.search, name="bnnbench tune")

    guarded(action)


def _run(raw: dict[str, Any]) -> None:
    """Run one trial here, for hydra/launcher=basic: a failure fails the trial, not the search."""
    from bnnbench.cli.run import run_one

    try:
        run_one(raw)
    except Exception as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
