"""bnnbench run: one run, or a sweep of many."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bnnbench.cli.common import guarded
from bnnbench.cli.completion import complete_overrides


def run_command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OVERRIDES]...", autocompletion=complete_overrides, show_default=False),
    ] = None,
) -> None:
    """Run a method: bnnbench run method=psgld dataset=mnist method.optimizer.lr=1e-3.

    Hydra's override grammar; -m sweeps over lists (method=sgld,psgld seed=0,1,2), -j 4 of them at a time; --cfg job
    prints the configuration; --force runs anew over a finished run; --help lists every group and key.
    """
    guarded(lambda: _run(["force=true" if word == "--force" else word for word in overrides or []]))


def _run(arguments: list[str]) -> None:
    from bnnbench.cli.hydra_app import read_words, run_hydra
    from bnnbench.config.composition import compose

    words = read_words(arguments)
    if words.plain:
        run_one(compose(words.overrides, words.config_dirs))
    else:
        run_hydra(words, run_one)


def run_one(raw: dict[str, Any]) -> None:
    """Run the resolved configuration `raw`; torch is loaded where there is something to run."""
    from bnnbench.experiment.finished import finished_before, say_finished
    from bnnbench.experiment.progress import make_console

    if (path := finished_before(raw)) is not None:
        say_finished(path, make_console(records=True))
        return
    from bnnbench.experiment.run import run

    run(raw)
