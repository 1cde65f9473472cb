"""`bnnbench tune`: equal budgets, resumption, failed trials, the best settings and where they say they are from."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from typer.testing import CliRunner, Result

pytest.importorskip("optuna")

from bnnbench import run as run_module
from bnnbench import study
from bnnbench.errors import ConfigError
from bnnbench.launchers.base import FuturesLauncher
from bnnbench.launchers.worker import execute
from bnnbench.search_space import Dimension, dimension, read

# 20 iterations on digits, in this process.
QUICK = (
    *("model.widths=[8]", "iterations=20", "members.burn_in=5", "members.thin=5", "eval.every=10", "threads=1"),
    "checkpoint_every=0",
)
LR = "method.update.lr=tag(log,interval(0.01,1))"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, and a launcher whose worker is this process, which has torch already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FuturesLauncher, "run", lambda self, jobs, watcher: {job: execute(job.raw) for job in jobs})
    monkeypatch.setattr(study, "STARTUP", 2)
    handlers = list(logging.root.handlers)
    yield tmp_path
    logging.root.handlers[:] = handlers  # Hydra's write to a stream that ends with the test


def call(*words: str) -> Result:
    from bnnbench.cli import app

    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def tune(*words: str) -> Result:
    return call("tune", *words, *QUICK)


def trials(method: str) -> list[Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name="tune", storage=f"sqlite:///results/adhoc/tuning-{method}.db").trials


def runs(method: str) -> list[Path]:
    return sorted(path.parent for path in Path("results/adhoc").glob(f"*-{method}-*/manifest.json"))


def last(folder: Path, metric: str) -> float:
    """The last posterior (else current) value on the validation split, straight from metrics.csv."""
    with (folder / "metrics.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "valid"]
    posterior = [row for row in rows if row["predictor"] == "posterior"]
    return float((posterior or rows)[-1][metric])


def lr(folder: Path) -> float:
    return yaml.safe_load((folder / "config.yaml").read_text())["method"]["update"]["lr"]


def test_every_method_gets_as_many_trials_and_the_file_of_the_best_runs_it_on_all_points(here: Path) -> None:
    result = tune("--trials", "3", "method=sgld,psgld")
    assert result.exit_code == 0, result.output
    for method in ("sgld", "psgld"):
        folders = runs(method)
        assert len(folders) == len(trials(method)) == 3
        best = min(folders, key=lambda folder: last(folder, "nll"))
        content = yaml.safe_load(Path(f"results/adhoc/best/{method}.yaml").read_text())
        assert content["method"]["update"]["lr"] == lr(best)
        assert content["chosen"]["best_value"] == pytest.approx(last(best, "nll"), rel=1e-12)
    assert trials("sgld")[0].params == {"method.update.lr": 0.1}  # the settings as they stand

    # The two methods' numbers come from the same streams: they lie at the same places of their ranges.
    places = [
        [math.log(t.params["method.update.lr"] / trials(m)[0].params["method.update.lr"]) for t in trials(m)]
        for m in ("sgld", "psgld")
    ]
    assert places[0] == pytest.approx(places[1], abs=0.02)  # four digits, ends of three

    done = call("run", "--config-dir", "results/adhoc", "+best=sgld")
    assert done.exit_code == 0, done.output
    (folder,) = Path("results/adhoc-best").glob("*/")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["num_data"] == 1438  # 80 % of 1797: nothing is held out
    assert {name.partition("/")[0] for name in manifest["final"]} == {"test"}
    told = manifest["chosen"]
    assert told["study"] == "results/adhoc/tuning-sgld.db"
    assert (told["metric"], told["split"], told["trials"], told["seed"]) == ("nll", "valid", 3, 0)
    assert "chosen" not in yaml.safe_load((folder / "config.yaml").read_text())


def test_a_search_stopped_between_and_within_trials_makes_the_trials_of_one_that_was_not(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--trials", "4", "method=sgld", LR, "--metric", "error")
    assert tune(*words, "results=whole").exit_code == 0

    whole_run, calls = run_module.run, 0

    class Killed(BaseException):
        pass

    def killed_later(raw: dict[str, Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls in (2, 5):  # within the first round, and alone in the last
            raise Killed
        return whole_run(raw)

    monkeypatch.setattr(run_module, "run", killed_later)
    for before in (0, 3):
        with pytest.raises(Killed):
            tune(*words)
        assert sum(trial.state.is_finished() for trial in trials("sgld")) == before
    assert tune(*words).exit_code == 0
    assert [t.params for t in trials("sgld")] == [t.params for t in _trials_at("whole", "sgld")]
    assert [t.value for t in trials("sgld")] == [t.value for t in _trials_at("whole", "sgld")]
    count = calls
    assert tune(*words).exit_code == 0  # nothing is left
    assert calls == count


def _trials_at(results: str, method: str) -> list[Any]:
    import optuna

    return optuna.load_study(study_name="tune", storage=f"sqlite:///{results}/adhoc/tuning-{method}.db").trials


KILLED = """
import os, signal
from bnnbench.records import RunFolder

saved = RunFolder.checkpoint
def checkpoint(self, state):
    saved(self, state)
    os.kill(os.getpid(), signal.SIGKILL)
RunFolder.checkpoint = checkpoint
from bnnbench.cli import app
app()
"""


def test_a_trial_within_which_everything_was_killed_is_resumed_with_the_same_values(here: Path) -> None:
    words = ("--trials", "2", "method=sgd", LR)
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [sys.executable, "-c", KILLED, "tune", *words, *QUICK, "hydra/launcher=basic"],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    begun = [trial.params for trial in trials("sgd")]
    assert len(begun) == 2 and not any(trial.state.is_finished() for trial in trials("sgd"))
    (folder,) = runs("sgd")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"

    result = tune(*words)
    assert result.exit_code == 0, result.output
    assert "resumed at iteration 10 of 20" in result.output
    assert [trial.params for trial in trials("sgd")] == begun
    assert [trial.value for trial in trials("sgd")] == [
        last(next(f for f in runs("sgd") if lr(f) == params["method.update.lr"]), "nll") for params in begun
    ]


def test_failed_trials_count_and_a_search_in_which_all_failed_has_no_best(here: Path) -> None:
    result = tune("--trials", "4", "method=sgd", "method.update.lr=choice(0.1,1e30)")
    assert result.exit_code == 0, result.output
    kinds = {(t.params["method.update.lr"], t.state.name) for t in trials("sgd")}
    assert kinds == {("0.1", "COMPLETE"), ("1e+30", "PRUNED")}
    told = yaml.safe_load(Path("results/adhoc/best/sgd.yaml").read_text())["chosen"]
    assert told["trials"] == 4 and told["failed"] == sum(t.state.name == "PRUNED" for t in trials("sgd")) > 0

    result = tune("--trials", "2", "method=sgd", "method.update.lr=choice(1e30,1e31)", "name=vain")
    assert result.exit_code == 1
    assert "all 2 trials failed" in result.output and not Path("results/vain/best").exists()


def test_the_best_settings_of_a_published_experiment_compose_to_the_trial_they_were_found_in(here: Path) -> None:
    words = ("experiment=psgld_a9a", "dataset=digits", "model=mlp", "prior.variance=${temperature}", "name=odd")
    result = tune("--trials", "1", "method=sgld", *words, "schedule.b=range(10,31,10)", "++model.init=glorot,he")
    assert result.exit_code == 0, result.output
    (trial,) = (path.parent for path in Path("results/odd").glob("*/config.yaml"))
    before = yaml.safe_load((trial / "config.yaml").read_text())
    shown = call(
        "run",
        "--config-dir",
        "results/odd",
        "+best=sgld",
        "threads=1",
        "checkpoint_every=0",
        "--cfg",
        "job",
        "--resolve",
    )
    after = yaml.safe_load(shown.output)
    assert after.pop("chosen")["best_trial"] == 0
    assert (after["dataset"].pop("valid"), before["dataset"].pop("valid")) == (0, 0.1)
    assert (after["eval"].pop("splits"), before["eval"].pop("splits")) == (["valid", "test"], ["valid"])
    assert (after.pop("name"), before.pop("name")) == ("odd-best", "odd")
    assert after == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--trials", "0"), "--trials 0: input should be 1 or more."),
        (("--metric", "nil"), "--metric nil: no such metric. Did you mean 'nll'?"),
        (("--metric", "rmse"), "--metric rmse: digits has nll, error or brier."),
        (("--force",), "--force: a search repeats no trial."),
        (("force=true",), "force=true: a search repeats no trial."),
        (("dataset.valid=0",), "dataset.valid=0: trials are judged by points held out of training."),
        (("eval.splits=[test]",), "eval.splits=['test']: trials are judged on valid"),
        (("method=sgdl",), "method=sgdl: no such choice. Did you mean 'sgd' or 'sgld'?"),
        (("method.update.lrr=interval(1,2)",), "method.update.lrr: no such key. Did you mean 'lr'?"),
        (("method=sgld", "method.update.lr=interval(-1,2)"), "method.update.lr"),
    ],
)
def test_bad_input_is_said_in_a_line_and_nothing_is_written(here: Path, words: tuple[str, ...], says: str) -> None:
    result = tune(*words)
    assert result.exit_code == 1
    assert says in result.stderr and len(result.stderr.splitlines()) <= 3
    assert not Path("results").exists()


def test_a_file_of_another_search_is_not_taken_up(here: Path) -> None:
    assert tune("--trials", "1", "method=sgd").exit_code == 0
    result = tune("--trials", "1", "method=sgd", "--metric", "error")
    assert result.exit_code == 1
    assert "holds another search: --metric is nll there and error here." in result.stderr


def test_data_that_are_missing_are_no_failed_trial(here: Path) -> None:
    (here / "data").mkdir()
    result = tune("--trials", "2", "method=sgd", "dataset=a9a", f"data.root={here / 'data'}")
    assert result.exit_code == 1 and "no trial could begin" in result.stderr
    assert not any(trial.state.is_finished() for trial in trials("sgd"))


def test_without_optuna_the_extra_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = tune("method=sgd")
    assert result.exit_code == 1 and result.stderr.strip() == (
        "error: bnnbench tune needs Optuna: pip install 'bnnbench[tune]'."
    )


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a=interval(1,10)", "a: 1 to 10"),
        ("a=int(interval(1,10))", "a: whole numbers 1 to 10"),
        ("a=tag(log,interval(1e-4,1))", "a: 0.0001 to 1, logarithmic"),
        ("a=range(1,10,3)", "a: whole numbers 1 to 7 in steps of 3"),
        ("a=range(0,1,0.25)", "a: 0 to 0.75 in steps of 0.25"),
        ("a=choice(x,1,x)", "a: x, 1"),
    ],
)
def test_hydras_sweeps_are_read_as_spaces(typed: str, shown: str) -> None:
    assert str(_dimension(typed)) == shown


def test_a_number_at_an_end_of_a_logarithmic_range_lies_at_the_edge() -> None:
    wide = _dimension("a=tag(log,interval(1e-4,1))")
    assert [wide.at_edge(value) for value in (1.5e-4, 2e-4, 0.5, 0.7)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("seed=0,1", "seed=0,1: one search is for one value of seed."),
        ("dataset.valid=choice(0.1,0.2)", "one search is for one value of dataset.valid."),
        ("~seed", "~seed: a search takes values, and cannot take a key away."),
        ("a=interval(1,0.1)", "a=interval(1,0.1): the first number of an interval should be below the second."),
        ("a=tag(lgo,interval(1,2))", "a=tag(lgo,interval(1,2)): no tag 'lgo'. Did you mean 'log'?"),
        ("a=tag(log,interval(0,2))", "a=tag(log,interval(0,2)): a logarithmic scale is for numbers above 0"),
        ("a=tag(log,range(1,9,2))", "a logarithmic scale is for numbers above 0, without steps."),
        ("batch_size=range(5,5)", "batch_size=range(5,5): the range is empty"),
    ],
)
def test_what_is_no_space_is_refused(typed: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read([OverridesParser.create().parse_override(typed)])
    assert says in str(caught.value)


def _dimension(typed: str) -> Dimension:
    return dimension(OverridesParser.create().parse_override(typed))
