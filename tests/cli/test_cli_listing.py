"""`bnnbench ls`: every yaml is described, every run is shown, and foreign or damaged folders hide nothing."""

from __future__ import annotations

import json
import re

import pytest
from support.records import change_manifest

from bnnbench.cli import listing
from bnnbench.config.composition import choices, conf_dir

GROUPS = ["methods", *listing.GROUPS]


@pytest.mark.parametrize("what", GROUPS)
def test_every_choice_is_listed_with_words_of_its_own(what, bnnbench):
    result = bnnbench("ls", what)
    assert result.exit_code == 0, result.stderr
    _header, *lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == choices(what.removesuffix("s"))
    assert all(re.search(r"\S  +\S", line) for line in lines)  # a second column, aligned by blanks


@pytest.mark.parametrize("group", listing.GROUPS.values())
def test_every_yaml_begins_with_what_it_is(group):
    for name in choices(group):
        assert len(listing._comment(conf_dir() / group / f"{name}.yaml")) > 20


def test_methods_show_layers_update_rule_norm_and_reference(bnnbench):
    lines = {line.split()[0]: re.split(r"  +", line) for line in bnnbench("ls").stdout.splitlines()}
    assert lines["psgld"] == ["psgld", "pSGLD", "deterministic", "psgld", "none", "Li et al. 2016, algorithm 1"]
    assert lines["batchnorm_sgld"][1:5] == ["BN + SGLD", "deterministic", "sgld", "batch"]
    assert lines["sgd_ensemble"][1:4] == ["Deep ensemble", "deterministic", "sgd"]
    assert lines["sparse_vd"][1:4] == ["Sparse VD", "sparse_vd", "adam"]


def test_uci_names_the_sets_to_fetch(bnnbench):
    line = next(line for line in bnnbench("ls", "datasets").stdout.splitlines() if line.startswith("uci"))
    assert "data fetch` take boston, concrete, wine, yacht" in line


def test_without_runs_one_line_says_how_to_make_one(bnnbench, here):
    (here / "empty").mkdir()
    for folder in ("results", "empty"):
        result = bnnbench("ls", "runs", "--results", folder)
        assert result.exit_code == 0
        assert result.stdout == f"No runs in {folder}. Make one: bnnbench run method=psgld\n"


def test_a_folder_that_is_named_and_not_there_is_an_error(bnnbench):
    result = bnnbench("ls", "runs", "--results", "nope")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: --results nope: no such folder.")


def write_run(
    folder, status="finished", rows=(), config="dataset: {name: toy}\nmodel: {name: net}\nmethod: {name: m}\n"
):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config + "seed: 3\n")
    (folder / "manifest.json").write_text(json.dumps({"status": status}))
    header = "iteration,chain,split,predictor,error,rmse"
    (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")


RUNS = [  # rows of metrics.csv, what is shown after the seed
    (["5,0,test,current,0.5,", "9,0,test,current,0.25,", "9,0,test,posterior,0.125,"], "finished 9 25.00 % 12.50 %"),
    (["9,0,test,current,0.25,", "9,1,test,current,0.75,", "9,all,test,posterior,0.125,"], "finished 9 50.00 % 12.50 %"),
    (["9,0,test,current,0.2,", "9,0,kmnist,current,0.9,", "9,0,test,posterior,,"], "finished 9 20.00 %"),
    (["9,0,test,current,,2.5", "9,0,test,posterior,,2.25"], "running 9 2.5000 2.2500"),
    ([], "failed 0"),
]


@pytest.mark.parametrize(("rows", "shown"), RUNS)
def test_a_run_is_shown_with_its_last_test_scores(rows, shown, bnnbench, here):
    write_run(here / "results" / "x", shown.split()[0], rows)
    line = bnnbench("ls", "runs").stdout.splitlines()[1]
    assert line.split() == ["results/x", "toy", "net", "m", "3", *shown.split()]


@pytest.mark.parametrize(
    "config",
    ["dataset:\nmodel:\nmethod: [\n", "dataset: 3\nmodel: 4\nmethod: 5\n", "dataset: x\n", "- dataset:\n", "\x00\n"],
)
def test_foreign_and_damaged_folders_hide_no_run(config, bnnbench, here):
    write_run(here / "results" / "good", "finished", ["9,0,test,current,0.25,"])
    write_run(here / "results" / "odd", "finished", ["a,b,c,d,e,f"], config)
    (here / "results" / "notes").mkdir()
    (here / "results" / "notes" / "metrics.csv").write_text("epoch,loss\n1,2\n")
    result = bnnbench("ls", "runs")
    assert result.exit_code == 0
    assert "results/good" in result.stdout
    assert "Traceback" not in result.stderr


def test_on_a_terminal_it_is_a_table(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    listing.show("schedules")
    assert "─" in capsys.readouterr().out


def test_a_run_that_says_it_is_running_while_nobody_writes_it_is_stopped(bnnbench, here):
    from filelock import FileLock

    bnnbench("run", "method=sgd", "epochs=2", "model.widths=[4]")
    (folder,) = (here / "results" / "adhoc").iterdir()
    change_manifest(folder, status="running")
    assert " stopped " in bnnbench("ls", "runs").stdout
    with FileLock(folder / ".lock"):
        assert " running " in bnnbench("ls", "runs").stdout
