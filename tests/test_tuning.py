"""`bnnbench tune`: equal budgets, resumption, failed trials, the best settings and where they say they are from."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import speed
from support.cli import invoke as call
from support.records import manifest_of

pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'bnnbench[tune]'")

import optuna

from bnnbench.config.chosen import departures
from bnnbench.experiment import run as run_module
from bnnbench.store import frame as results
from bnnbench.store.folder import RunFolder
from bnnbench.sweep.jobs import Outcome, Status
from bnnbench.sweep.launchers.base import FuturesLauncher
from bnnbench.sweep.launchers.worker import execute
from bnnbench.tune import study
from bnnbench.tune.tuner import Tuner

# 20 iterations on digits.
QUICK = (
    *("model.widths=[8]", "iterations=20", "members.burn_in=5", "members.thin=5", "eval.every=10", "threads=1"),
    *("checkpoint_every=0", "dataset.valid=0.1"),
)
LR = "method.optimizer.lr=tag(log,interval(0.01,1))"


@pytest.fixture
def here(here: Path, monkeypatch: pytest.MonkeyPatch, digits_read_once: None) -> Path:
    """An empty folder, and a launcher whose worker is this process, which has torch already."""
    monkeypatch.delenv("COLUMNS")
    speed.run_jobs_in_this_process(monkeypatch)
    return here


def trials(method: str, folder: str = "results/tune") -> list[Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (file,) = Path(folder).glob(f"study-{method}-*.db")
    return optuna.load_study(study_name="tune", storage=f"sqlite:///{file}").trials


def runs(method: str) -> list[Path]:
    return sorted(path.parent for path in Path("results/tune").glob(f"*-{method}-*/manifest.json"))


def last(folder: Path, metric: str) -> float:
    """The last posterior (else current) value on the validation split, straight from metrics.csv."""
    with (folder / "metrics.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {row["split"] for row in rows} == {"valid"}  # nothing of the test split was looked at
    posterior = [row for row in rows if row["predictor"] == "posterior"]
    return float((posterior or rows)[-1][metric])


def lr(folder: Path) -> float:
    return yaml.safe_load((folder / "config.yaml").read_text())["method"]["optimizer"]["lr"]


def test_methods_get_equal_trials_and_the_last_line_runs_the_best_on_all_data(here: Path) -> None:
    result = call("tune", "--trials", "2", "method=sgd,sgld", *QUICK)
    assert result.exit_code == 0, result.output
    for method in ("sgd", "sgld"):
        folders = runs(method)
        assert len(folders) == len(trials(method)) == 2
        assert sorted(manifest_of(folder)["chosen"]["trial"] for folder in folders) == [0, 1]
        best = min(folders, key=lambda folder: last(folder, "nll"))
        (file,) = Path("results/tune/best").glob(f"{method}-*.yaml")
        content = yaml.safe_load(file.read_text())
        assert content["method"]["optimizer"]["lr"] == lr(best)
        assert content["chosen"]["value"] == pytest.approx(last(best, "nll"), rel=1e-12)
        assert trials(method)[0].params == {"method.optimizer.lr": 0.1}  # the settings as they stand
        assert f"{last(best, 'nll'):.4f}" in result.output
    # The two methods' numbers come from the same streams.
    assert trials("sgd")[1].params == trials("sgld")[1].params

    frame = results.load("results/tune")  # ordinary runs
    assert frame["run"].nunique() == 4 and set(frame["split"]) == {"valid"}

    words = result.stdout.splitlines()[-1].split()
    assert words[:3] == ["bnnbench", "run", "-m"] and words[-1] == "seed=0,1,2,3,4"
    done = call(*words[1:-1], "seed=1")
    assert done.exit_code == 0, done.output
    folder = next(path for path in Path("results/tune-best").glob("*/") if "-sgld-" in path.name)
    assert manifest_of(folder)["num_data"] == 1438  # 80 % of 1797: nothing is held out
    assert {name.partition("/")[0] for name in manifest_of(folder)["final"]} == {"test"}
    told = manifest_of(folder)["chosen"]
    assert Path(told["study"]).is_file()
    assert {key: told[key] for key in ("metric", "split", "dataset.valid", "trials", "failed", "search_seed")} == {
        "metric": "nll",
        "split": "valid",
        "dataset.valid": 0.1,
        "trials": 2,
        "failed": 0,
        "search_seed": 0,
    }
    assert "chosen" not in yaml.safe_load((folder / "config.yaml").read_text())  # no setting
    assert not any("search chose" in warning for warning in manifest_of(folder)["warnings"])


def test_a_run_that_departs_from_what_the_search_chose_says_so() -> None:
    settings = {"method.optimizer.lr": 0.1, "batch_size": "50", "schedule": "cosine", "model.widths": "[8,8]"}
    raw = {"batch_size": 50, "schedule": {"name": "cosine"}, "method": {"optimizer": {"lr": 0.7}}}
    raw |= {"model": {"widths": [8, 8]}, "chosen": {"settings": settings}}
    assert departures(raw) == ["method.optimizer.lr=0.7 differs from what the search chose, 0.1"]
    assert departures({**raw, "chosen": None}) == []


def killed(change: Callable[[pytest.MonkeyPatch], None], *words: str) -> None:
    """Start the command in a copy of this process, which `change` makes kill itself with SIGKILL, and wait."""
    child = os.fork()
    if child == 0:
        try:
            change(pytest.MonkeyPatch())
            call(*words)
        finally:
            os._exit(1)
    for _ in range(600):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the command did not get to where it should have killed itself")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_search_killed_within_a_trial_resumes_it_and_repeats_no_other(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "STARTUP", 1)
    words = ("tune", "--trials", "2", "method=sgd", LR, "--metric", "error", *QUICK)
    checkpoint = RunFolder.checkpoint

    def checkpoint_and_die(self: RunFolder, state: dict[str, Any]) -> None:
        checkpoint(self, state)
        if self.raw["method"]["optimizer"]["lr"] != 0.1:  # the second trial's first
            os.kill(os.getpid(), signal.SIGKILL)

    killed(lambda patch: patch.setattr(RunFolder, "checkpoint", checkpoint_and_die), *words)
    before = trials("sgd")
    assert [trial.state.is_finished() for trial in before] == [True, False]
    assert sorted(manifest_of(folder)["status"] for folder in runs("sgd")) == ["finished", "running"]

    whole_run, ran = run_module.run, []
    monkeypatch.setattr(run_module, "run", lambda raw: ran.append(raw["method"]["optimizer"]["lr"]) or whole_run(raw))
    result = call(*words)
    assert result.exit_code == 0 and "1 of 2 are done" in result.output
    assert "resumed at iteration 10 of 20" in result.output
    assert ran == [before[1].params["method.optimizer.lr"]]
    assert [trial.params for trial in trials("sgd")] == [trial.params for trial in before]
    by_lr = {lr(folder): last(folder, "error") for folder in runs("sgd")}
    assert [trial.value for trial in trials("sgd")] == [by_lr[0.1], by_lr[ran[0]]]


def test_failed_trials_count_and_a_search_in_which_all_failed_has_no_best(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.Study, "_draw", lambda self, number: {"method.optimizer.lr": "1e+30"})
    words = ("tune", "method=sgd", *QUICK)
    result = call(*words, "--trials", "2", "method.optimizer.lr=choice(0.1,1e30)")
    assert result.exit_code == 0, result.output
    kinds = [(trial.params["method.optimizer.lr"], trial.state.name) for trial in trials("sgd")]
    assert kinds == [("0.1", "COMPLETE"), ("1e+30", "PRUNED")]
    (file,) = Path("results/tune/best").glob("sgd-*.yaml")
    told = yaml.safe_load(file.read_text())["chosen"]
    assert (told["trials"], told["failed"], told["trial"]) == (2, 1, 0)

    result = call(*words, "--trials", "1", "method.optimizer.lr=choice(1e30)", "name=vain")
    assert result.exit_code == 1
    assert "all 1 trials failed" in result.stderr and not Path("results/vain/best").exists()


def test_the_best_settings_of_an_experiment_compose_to_their_trial(here: Path) -> None:
    words = ("experiment=psgld_a9a", "dataset=digits", "model=mlp", "prior.variance=${temperature}", "name=odd")
    space = ("schedule.b=range(10,11)", "++model.init=choice(glorot)")
    result = call("tune", "--trials", "1", "method=sgld", *words, *space, *QUICK)
    assert result.exit_code == 0, result.output
    (trial,) = (path.parent for path in Path("results/odd").glob("*/config.yaml"))
    before = yaml.safe_load((trial / "config.yaml").read_text())
    words = tuple(word for word in result.stdout.splitlines()[-1].split()[2:-1] if word != "-m")
    after = yaml.safe_load(call("run", *words, "threads=1", "checkpoint_every=0", "--cfg", "job", "--resolve").output)
    assert after.pop("chosen")["trial"] == 0
    assert (after["dataset"].pop("valid"), before["dataset"].pop("valid")) == (0, 0.1)
    assert (after["eval"].pop("splits"), before["eval"].pop("splits")) == (["valid", "test"], ["valid"])
    assert (after.pop("name"), before.pop("name")) == ("odd-best", "odd")
    assert after == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--trials", "0"), "--trials 0: input should be 1 or more."),
        (("--trials", "ten"), "Invalid value for '--trials'"),
        (("-j", "0"), "--jobs 0: input should be 1 or more."),
        (("--metric", "nil"), "--metric nil: no such measure of digits. Did you mean 'nll'?"),
        (("--force",), "--force: a search repeats no trial."),
    ],
)
def test_a_wrong_option_is_said_in_a_line(here: Path, words: tuple[str, ...], says: str) -> None:
    result = call("tune", *words)
    assert result.exit_code != 0 and says in result.stderr
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dataset.valid=0",), "dataset.valid=0: digits has no validation split"),
        (("method=sgdl",), "method=sgdl: no such choice. Did you mean 'sgd' or 'sgld'?"),
        (
            ("method=sgd,sgld", "method.optimizer.alpha=interval(0,1)"),
            "method=sgd: method.optimizer.alpha: no such key.",
        ),
        (("batch_size=interval(10,20)",), "batch_size=16.18: input should be a valid integer"),
        (("method=sgd", "method.optimizer=3"), "method.optimizer=3"),
        (("method.optimizer.lr=interval(1",), "method.optimizer.lr=interval(1: not of the form key=value"),
    ],
)
def test_a_wrong_search_is_said_in_a_line_or_two_and_nothing_is_written(
    here: Path, words: tuple[str, ...], says: str
) -> None:
    given = {word.partition("=")[0] for word in words}
    result = call("tune", *words, *(word for word in QUICK if word.partition("=")[0] not in given))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and says in result.stderr and len(result.stderr.splitlines()) <= 2
    assert not Path("results").exists()


def test_a_start_from_a_run_that_has_seen_the_validation_points_is_refused(here: Path) -> None:
    words = [word for word in QUICK if not word.startswith("dataset.valid=")]
    for valid in (0, 0.1):
        assert call("run", "method=sgd", f"name=pre{valid}", f"dataset.valid={valid}", *words).exit_code == 0
    seen, held = (next(Path(f"results/pre{valid}").glob("*/")) for valid in (0, 0.1))
    result = call("tune", "method=sgd", f"method.init_from={held},{seen}", *QUICK)
    assert result.exit_code == 1 and "dataset.valid=0, here it is 0.1: it has seen points" in result.stderr
    assert len(result.stderr.splitlines()) == 2 and not Path("results/tune").exists()
    assert call("tune", "--trials", "1", "method=sgd", f"method.init_from={held}", *QUICK).exit_code == 0


@pytest.mark.slow
def test_a_setting_that_counts_for_a_part_of_the_space_alone_makes_another_search(here: Path) -> None:
    layers = "method.layers.name=deterministic,mean_field"
    for scale in (1, 0.1):
        result = call("tune", "--trials", "1", "method=sgd", layers, f"method.kl.scale={scale}", *QUICK)
        assert result.exit_code == 0 and "are done" not in result.output
    assert len(list(Path("results/tune").glob("study-*.db"))) == 2


@pytest.mark.slow
def test_trial_0_takes_the_default_file_and_a_search_from_a_best_names_itself(
    here: Path,
) -> None:
    assert call("tune", "--trials", "1", "method=sgd", "schedule=cosine,constant", *QUICK).exit_code == 0
    assert trials("sgd")[0].params == {"schedule": "constant"}
    (best,) = Path("results/tune/best").glob("*.yaml")
    words = ("--config-dir", "results/tune", f"+best={best.stem}", "name=next")
    assert call("tune", "--trials", "1", *words, "batch_size=100,50", *QUICK).exit_code == 0
    (trial,) = Path("results/next").glob("*/manifest.json")
    assert set(manifest_of(trial.parent)["chosen"]) == {"study", "trial", "metric", "split"}


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["disk", "stop"])
def test_a_trial_ended_by_the_machine_is_resumed_and_not_counted_as_failed(
    here: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    def full(self: RunFolder, rows: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    words = ("tune", "--trials", "1", "method=sgd", *QUICK)
    with monkeypatch.context() as patch:
        if cause == "disk":
            patch.setattr(RunFolder, "append", full)
        else:
            why = "its process was told to stop from outside (SIGTERM)"
            patch.setattr(
                FuturesLauncher, "run", lambda self, jobs, watcher: dict.fromkeys(jobs, Outcome(Status.STOPPED, why))
            )
            patch.setattr(Tuner, "_refuse_hopeless", lambda *_: None)
        result = call(*words)
    assert result.exit_code == 1 and "The same command resumes this trial." in result.stderr
    assert [trial.state.name for trial in trials("sgd")] == ["RUNNING"]
    assert call(*words).exit_code == 0 and [trial.state.name for trial in trials("sgd")] == ["COMPLETE"]


def test_data_that_are_missing_are_no_failed_trial(here: Path) -> None:
    (here / "data").mkdir()
    result = call(
        "tune",
        "--trials",
        "1",
        "method=sgd",
        "dataset=a9a",
        "batch_size=choice(50)",
        f"data.root={here / 'data'}",
        *QUICK,
    )
    assert result.exit_code == 1 and "no trial could begin" in result.stderr
    assert not any(trial.state.is_finished() for trial in trials("sgd"))


def test_without_optuna_the_extra_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = call("tune", "method=sgd")
    assert result.exit_code == 1
    assert result.stderr == "error: bnnbench tune needs Optuna: pip install 'bnnbench[tune]'.\n"


@pytest.mark.slow
def test_worker_processes_make_the_same_trials_and_a_killed_search_resumes(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("tune", "--trials", "12", "method=sgld", LR, *QUICK)
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "bnnbench", *words, "-j", "2"],
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while len(runs("sgld")) < 4 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < sum(manifest_of(folder).get("status") == "finished" for folder in runs("sgld")) < 12
    monkeypatch.undo()
    monkeypatch.chdir(here)
    result = call(*words, "-j", "2")
    assert result.exit_code == 0, result.output
    monkeypatch.setattr(FuturesLauncher, "run", lambda self, jobs, watcher: {job: execute(job.raw) for job in jobs})
    assert call(*words, "results=alone").exit_code == 0
    alone = [(trial.params, trial.value) for trial in trials("sgld", "alone/tune")]
    assert len(alone) == 12 and [(trial.params, trial.value) for trial in trials("sgld")] == alone
