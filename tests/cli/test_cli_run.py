"""`bnnbench run` from the command line to the record: once, twice, as a sweep, interrupted, and Hydra's own flags."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from support.cli import left_behind
from support.configurations import QUICK
from support.forked import forking
from support.records import manifests

from bnnbench.cli.app import app

pytestmark = pytest.mark.usefixtures("forked_workers")


def test_the_same_command_twice_is_finished_and_force_runs_it_anew(quick, here):
    first = quick()
    assert first.exit_code == 0, first.stderr
    assert "results/adhoc/digits-mlp-psgld-" in first.stdout
    table = next(here.glob("results/adhoc/*/metrics.csv"))
    table.write_text("a mark")  # a second run that writes would wipe it
    again = quick()
    assert (again.exit_code, table.read_text()) == (0, "a mark")
    assert again.stdout.startswith("finished already: results/adhoc/")
    assert "--force" in again.stdout
    assert quick("--force").exit_code == 0
    assert table.read_text().startswith("iteration,")


def test_a_sweep_makes_one_run_for_each_combination(quick, here):
    # Overrides before and after the flag, which Hydra refuses.
    swept = quick("-m", "method=sgd,sgld", "seed=0,1", "-j1")
    assert swept.exit_code == 0, swept.stderr
    found = manifests(here)
    assert sorted(m["method"] for m in found) == ["sgd", "sgd", "sgld", "sgld"]
    assert {m["status"] for m in found} == {"finished"}


def test_a_sweep_with_a_misspelt_choice_starts_no_run(quick, here):
    swept = quick("-m", "method=sgd,psgdl")
    assert swept.exit_code == 1
    assert "method=psgdl: no such choice" in swept.stderr
    assert not manifests(here)


def test_a_sweep_goes_on_after_a_failure_and_says_which_run_failed(quick, here):
    swept = quick("-m", "-j1", "method=sgd", "method.optimizer.lr=1e30,0.1")
    assert swept.exit_code == 1
    assert "(method.optimizer.lr=1e+30): " in swept.stderr
    assert "1 of 2 runs failed" in swept.stderr
    assert len(swept.stderr.splitlines()) <= 4
    assert sorted(m["status"] for m in manifests(here)) == ["failed", "finished"]


def test_a_failure_of_the_code_itself_keeps_its_traceback(quick, here, monkeypatch):
    def broken(config):
        raise RuntimeError("a bug")

    monkeypatch.setattr("bnnbench.experiment.run.assemble", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        quick()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--cfg", "job"], "epochs: ${dataset.budget.epochs}"),
        (["--cfg", "job", "--resolve"], "epochs: 100"),
        (["--cfg", "job", "-p", "method.optimizer", "method=sgld"], "temperature: ${temperature}"),
        (["--help"], "bnnbench run -m method=sgld,psgld seed=0,1,2"),
        (["--info", "defaults"], "method/psgld"),
        (["--hydra-help"], "--multirun"),
    ],
)
def test_hydras_flags_show_and_run_nothing(words, shown, bnnbench, here):
    result = bnnbench("run", *words)
    assert result.exit_code == 0, result.stderr
    assert shown in result.stdout
    assert not left_behind(here)


def command(words, errors):
    """Run `bnnbench <words>` in this process, with its errors in a file."""
    with Path(errors).open("w", buffering=1) as sys.stderr, Path(os.devnull).open("w") as sys.stdout:
        app(words, prog_name="bnnbench")


def test_ctrl_c_is_noted_and_said_in_a_line(here):
    given = [word for word in QUICK if not word.startswith(("epochs=", "eval.every="))]
    words = ["run", *given, "epochs=1000000", "eval.every=100", "method=sgd"]
    process = forking().Process(target=command, args=(words, str(here / "errors")))
    process.start()
    try:
        deadline = time.monotonic() + 300  # for a hang; a busy machine may need most of a minute
        while not any(len(p.read_text().splitlines()) > 1 for p in here.glob("results/*/*/metrics.csv")):
            assert process.is_alive(), (here / "errors").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        process.join(300)
    finally:
        process.kill()  # whatever failed, nothing is left running
    assert (process.exitcode, (here / "errors").read_text()) == (130, "interrupted\n")
    assert [m["status"] for m in manifests(here)] == ["interrupted"]
