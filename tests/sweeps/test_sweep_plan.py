"""What a sweep decides before its first run starts: is everything right, what is there twice, what is done."""

from __future__ import annotations

import errno
import os
import sys

import pytest
from support.fates import QUICK


@pytest.fixture
def refused(sweep, here):
    """Return words → the lines of an error with which a sweep ends that left nothing behind."""

    def go(*words):
        before = set(here.iterdir())
        result = sweep(*words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert set(here.iterdir()) == before
        return result.stderr.removeprefix("error: ").splitlines()

    return go


def test_one_wrong_value_stops_all_and_is_named_once(refused):
    problem, consequence = refused("method=sgd,sgld", "seed=0,1", "method.optimizer.lr=0.1,-1")
    assert problem == "method.optimizer.lr=-1: the step size must be a number > 0."
    assert consequence == "4 of 8 runs cannot start, so none was started."


def test_a_problem_that_its_message_does_not_place_is_placed_by_the_overrides(refused):
    problem, *_, consequence = refused("method=sgd,sgld", "seed=0,1", "++method.optimizer.momentum=0.5")
    assert problem.startswith("method=sgld: method.optimizer.momentum: no such option.")
    assert consequence == "2 of 4 runs cannot start, so none was started."


def test_every_distinct_problem_has_a_line(refused):
    one, other, consequence = sorted(refused("eval.every=5,0", "batch_size=10,a", "method=sgd", "seed=0,1"))[::-1]
    assert other.startswith("batch_size=a: input should be")
    assert one.startswith("eval.every=0: input should be")
    assert consequence == "6 of 8 runs cannot start, so none was started."


@pytest.mark.parametrize("words", [("-j", "0"), ("-j0",), ("--jobs=0",), ("hydra.launcher.n_jobs=0",)])
def test_a_number_of_processes_that_is_none_is_refused_in_every_spelling(words, refused):
    (line,) = refused("seed=0,1", *words)
    assert line == "hydra.launcher.n_jobs=0: input should be 'auto' or a whole number >= 1."


@pytest.mark.parametrize(("extra", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_launcher_whose_library_is_missing_says_which_extra_to_install(extra, library, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)  # importing it then fails
    (line,) = refused("seed=0,1", f"hydra/launcher={extra}")
    assert f"pip install 'bnnbench[{extra}]'" in line


def test_lists_quotes_and_interpolations_reach_the_runs(planned):
    words = ("model.widths=[6],[5,4]", "name='s${seed}',all", "method.label='a=b, \"c\" [d]',e")
    jobs, _ = planned(*QUICK[1:-1], "method=sgd", "seed=7", *words)
    assert [job.raw["model"]["widths"] for job in jobs] == [[6], [6], [5, 4], [5, 4]]  # the label is not in the hash
    assert [job.raw["name"] for job in jobs] == ["s7", "all"] * 2
    assert {job.raw["method"]["label"] for job in jobs} == {'a=b, "c" [d]'}


def test_a_sweep_over_nothing_is_an_error(refused):
    (line,) = refused("seed=range(0,0)")
    assert line.startswith("The sweep has no run")


def test_hydras_numbers_and_choices_reach_the_runs(planned):
    jobs, _ = planned(*QUICK, "name='job-${hydra:job.num}'", "seed=choice(3,5)", "schedule=glob(co*)")
    found = [(job.raw["name"], job.raw["seed"], job.raw["schedule"]["name"]) for job in jobs]
    assert found == [("job-0", 3, "constant"), ("job-1", 3, "cosine"), ("job-2", 5, "constant"), ("job-3", 5, "cosine")]
    assert jobs[1].label == "seed=3 schedule=cosine"


def test_equal_runs_are_one(planned):
    jobs, said = planned(*QUICK, "seed=0,1,0", "temperature=1,1.0")
    assert [job.raw["seed"] for job in jobs] == [0, 1]
    assert "2 runs, 4 of 6 combinations are the same as another" in said


def test_what_is_finished_is_not_done_again(sweep, planned, here):
    first = sweep(*QUICK, "seed=0,1", "hydra/launcher=basic")
    assert first.exit_code == 0, first.stderr
    tables = {path: path.stat().st_mtime_ns for path in here.glob("results/*/*/*")}
    assert len(tables) >= 8
    nothing = sweep(*QUICK, "seed=0,1")
    assert nothing.exit_code == 0, nothing.stderr
    assert "2 runs, 2 finished before" in nothing.stdout
    assert {path: path.stat().st_mtime_ns for path in tables} == tables
    assert [job.raw["seed"] for job in planned(*QUICK, "seed=0,1,2")[0]] == [2]
    assert [job.raw["seed"] for job in planned(*QUICK, "seed=0,1", "--force")[0]] == [0, 1]


def test_what_only_the_data_prove_wrong_stops_all_and_is_named_once(refused):
    problem, consequence = refused(*QUICK, "batch_size=100,5000", "seed=0,1")
    assert problem == "batch_size=5000 is more than the 1438 training data. Take at most 1438."
    assert consequence == "2 of 4 runs cannot start, so none was started."
    problem, consequence = refused("method=sgd,sgld", "epochs=2", "members.burn_in=300", "members.thin=50", "seed=0,1")
    assert "members.burn_in=300 and members.thin=50 leave no posterior member in 29 iterations. Take" in problem


@pytest.mark.slow
def test_data_that_are_missing_are_the_failure_of_their_run(sweep, here, manifests):
    swept = sweep(*QUICK, "dataset=digits,mnist", f"data.root={here}", "-j1")
    assert swept.exit_code == 1
    assert "1 of 2 runs failed" in swept.stderr
    assert [m["status"] for m in manifests()] == ["finished"]


def test_results_that_cannot_be_written_stop_all_and_are_named_once(refused, here, monkeypatch):
    (here / "a_file").touch()
    (here / "elsewhere").mkdir()
    (line,) = refused(*QUICK, "seed=0,1", "results=a_file/below")
    assert line == "results=a_file/below: Not a directory. Give a folder that can be written to."

    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("bnnbench.store.folder.tempfile.TemporaryFile", read_only)
    (line,) = refused(*QUICK, "seed=0,1", "results=elsewhere")
    assert line == "results=elsewhere: Read-only file system. Give a folder that can be written to."
