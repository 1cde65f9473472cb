"""The verbs: what they say of themselves, how fast, and with which exit code they end."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest
from support.cli import left_behind

from bnnbench.cli import results as verbs

HEAVY = ("torch", "hydra", "omegaconf", "pydantic", "matplotlib", "numpy", "pandas", "yaml", "sklearn", "scipy")
LOADED = f"""
import sys
from bnnbench.cli.app import app
try: app(sys.argv[1:], prog_name="bnnbench")
except SystemExit as left: print("rc", left.code)
print("heavy:", *[name for name in {HEAVY} if name in sys.modules])
"""


def fastest(words, times=3):
    """Return the shortest CPU time of a command, in seconds: what it needs, without what else the machine does."""
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "bnnbench", *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["compare", "--help"], {"pydantic"}),
        (["collect", "--help"], {"pydantic"}),
        (["plot", "--help"], {"pydantic"}),  # newer Typers load it for any verb if it is installed
        (["ls", "methods"], {"pydantic", "yaml"}),
        (["ls", "datasets"], {"pydantic", "yaml"}),
    ],
)
def test_nothing_heavy_is_loaded(words, allowed):
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True)
    *_, code, heavy = done.stdout.splitlines()
    assert code == "rc 0"
    assert set(heavy.split()[1:]) <= allowed


def test_help_is_fast():
    assert fastest(["--help"]) < 0.6  # the target is 0.3 s; twice that is room for a busy machine


@pytest.mark.parametrize("words", [[], ["data"]])
def test_without_a_verb_the_verbs_are_shown(words, bnnbench):
    result = bnnbench(*words)
    assert result.exit_code in (0, 2)  # click's own choice, which changed with its version 8.2
    assert ("fetch" if words else "plot") in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--version"], 0, r"bnnbench \d+\.\d+"),
        (["-h"], 0, "run"),
        (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'"),
        (["data", "fetsh", "mnist"], 2, "Did you mean 'fetch'"),
        (["plot"], 2, "Missing argument"),
        (["plot", "--metrik", "nll", "x"], 2, "No such option: --metrik.* --metric"),
        (["plot", "nowhere"], 1, "error: nowhere: no such file or folder"),
        (["plot", "."], 1, "error: No runs in .*bnnbench run"),
        (["plot", ".", "--x", "iter"], 1, "error: x: no 'iter'. Did you mean 'iteration'"),
        (["plot", ".", "--formats", "pgn"], 1, "error: formats: no 'pgn'. Did you mean 'png'"),
        (["plot", ".", "--ymin", "1"], 1, "error: --ymin and --ymax: give both or neither"),
        (["ls", "methdos"], 1, "error: ls methdos: no such list. Did you mean 'methods'"),
        (["data", "fetch", "mnits"], 1, "error: .*no 'mnits'. Did you mean 'mnist'"),
        (["data", "fetch", "digits"], 0, "digits: nothing to fetch"),
        (["data", "verify", "mnits"], 1, "error: .*no 'mnits'. Did you mean 'mnist'"),
        (["data", "verify", "digits"], 0, "digits: 1797 images"),
        (["data", "verify", "mnist", "--root", "nowhere"], 1, "error: mnist: no .*bnnbench data fetch mnist"),
    ],
)
def test_exit_codes_and_answers(words, code, said, bnnbench, here):
    result = bnnbench(*words)
    text = re.sub(r"\s+", " ", result.stdout + result.stderr)
    assert result.exit_code == code, text
    assert re.search(said, text), text
    assert not left_behind(here)


def test_plots_help_lists_the_choices_that_plots_take(bnnbench):
    from bnnbench.analysis.plots import panels

    assert set(verbs.X_AXES) == set(panels.X)
    assert set(verbs.PREDICTORS) == set(panels.PREDICTORS)
    text = re.sub(r"[\s│]+", " ", bnnbench("plot", "--help").stdout)
    for values in (verbs.MEASURES, verbs.X_AXES, verbs.PREDICTORS):
        assert " | ".join(values) in text


def test_plot_draws_into_a_folder_and_names_the_files(quick, bnnbench, here):
    assert quick("method=sgd").exit_code == 0
    (here / "figures").mkdir()
    drawn = bnnbench("plot", "results", "--out", "figures", "--metric", "nll", "--formats", "png,svg")
    assert drawn.exit_code == 0, drawn.stderr
    assert drawn.stdout.split() == ["figures/nll-test.png", "figures/nll-test.svg"]
    assert bnnbench("plot", "results", "--out", "one.pdf").stdout.split() == ["one.pdf"]


def test_a_reader_that_stops_early_is_no_error(here):
    done = subprocess.run(
        f"'{sys.executable}' -m bnnbench.cli.app ls methods | true", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""
