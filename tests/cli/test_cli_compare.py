"""`bnnbench compare` and `bnnbench collect`: what they print and write, and one line for whatever is wrong."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.synthetic_runs import row, write_run

from bnnbench.cli import app as cli
from bnnbench.cli import results as verbs
from bnnbench.store import frame as results

FINAL = {"sgd": [0.05, 0.08, 0.06], "psgld": [0.02, 0.04, 0.03]}


@pytest.fixture
def runs(here):
    """Two methods, three seeds each, and one run each that failed and that is going on."""
    for method, errors in FINAL.items():
        for seed, error in enumerate(errors):
            write_run(here / "runs" / f"{method}{seed}", [row(100, error, nll=0.5)], method=method, seed=seed)
    write_run(here / "runs" / "failed", [], seed=3, status="failed")
    write_run(here / "runs" / "going", [row(50, 0.9)], seed=4, status="running")
    return here / "runs"


def words(result):
    return re.sub(r"\s+", " ", result.stdout)


def test_the_table_says_means_errors_differences_and_what_was_left_out(runs, bnnbench):
    result = bnnbench("compare", "runs")
    assert result.exit_code == 0, result.stderr
    text = words(result)
    # 2, 4, 3 %: mean 3, s = 1, s/√3 = 0.577. Differences 3, 4, 3: mean 3.33, s/√3 = 1/3, t = 10, p = 1 − 10/√102;
    # t_{2, 0.975} = 4.3027, so 3.33 ± 1.43.
    assert "psgld 3.00 ± 0.58 0.5000 ± 0.0000 1.0 ± 0.0 3 posterior best" in text
    assert "sgd 6.33 ± 0.88 0.5000 ± 0.0000 1.0 ± 0.0 3 posterior +3.33 +1.90 … +4.77 0.010 0.010" in text
    assert "Left out: 1 failed, 1 running or killed." in text


def test_the_table_is_written_as_csv_in_full_precision_and_as_markdown(runs, bnnbench, here):
    assert bnnbench("compare", "runs", "--out", "new/table.csv").exit_code == 0
    first, second = csv.DictReader((here / "new" / "table.csv").open())
    assert (first["method"], first["best"], first["difference"], first["seeds"]) == ("psgld", "True", "", "3")
    assert float(first["error_mean"]) == pytest.approx(0.03, abs=1e-15)
    assert float(second["p"]) == pytest.approx(1 - 10 / 102**0.5)
    assert float(second["difference"]) == pytest.approx(0.1 / 3)
    assert second["pairs"] == "3"
    assert bnnbench("compare", "runs", "--out", "table.md").exit_code == 0
    header, line, best, *_ = [text for text in (here / "table.md").read_text().splitlines() if text.startswith("|")]
    assert header.count("|") == line.count("|") == best.count("|")
    assert best.startswith("| psgld | 3.00 ± 0.58 |")
    assert sorted(path.name for path in here.iterdir()) == ["new", "runs", "table.md"]  # nothing half written


def test_one_seed_has_no_interval_and_says_so(here, bnnbench):
    for method, (error, *_) in FINAL.items():
        write_run(here / method, [row(100, error)], method=method)
    text = words(bnnbench("compare", "."))
    assert "psgld 2.00 1.0 1 posterior best" in text
    assert "sgd 5.00 1.0 1 posterior +3.00 – (1 pair) – –" in text
    assert "2 of 2 groups have one repetition: no standard error, no interval, no test." in text


def test_one_group_is_shown_and_said_to_be_alone(here, bnnbench):
    for seed, error in enumerate(FINAL["psgld"]):
        write_run(here / f"s{seed}", [row(100, error)], seed=seed)
    text = words(bnnbench("compare", "."))
    assert "psgld 3.00 ± 0.58" in text
    assert "Only one group (psgld): nothing to compare it with." in text
    assert "Δ" not in text


def test_a_mixture_is_split_up_and_told(here, bnnbench):
    for i, lr in enumerate([0.1, 0.2]):
        write_run(here / f"a{i}", [row(100, 0.1)], optimizer={"lr": lr})
    text = words(bnnbench("compare", "."))
    assert "Split by method.optimizer.lr too, in which these runs differ: no mean is taken over them." in text
    assert "psgld 0.1" in text and "psgld 0.2" in text


def test_seeds_that_the_best_lacks_make_no_pairs_and_that_is_shown(here, bnnbench):
    for seed, error in enumerate([0.01, 0.02]):
        write_run(here / f"a{seed}", [row(100, error)], seed=seed)
    for seed, error in ((1, 0.05), (2, 0.06)):
        write_run(here / f"b{seed}", [row(100, error)], method="sgd", seed=seed)
    write_run(here / "c", [row(100, 0.5)], method="adam", seed=7)
    text = words(bnnbench("compare", "."))
    assert "+3.00 1 – (1 pair) – –" in text
    assert "– 0 no common seed – –" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "nowhere"], "nowhere: no such file or folder"),
        (["compare", "empty"], "No runs in empty"),
        (["compare", "runs", "--by", "mthod"], "by: no configuration key 'mthod' .* Did you mean 'method'"),
        (["compare", "runs", "--metric", "nll,ecce"], "metric: no 'ecce'. Did you mean 'ece'"),
        (["compare", "runs", "--metric", "rmse"], "metric: these runs have no values of 'rmse'"),
        (["compare", "runs", "--predictor", "posteriour"], "predictor: no 'posteriour'. Did you mean 'posterior'"),
        (["compare", "runs", "--out", "table.tex"], r"out: table.tex should end in \.csv or \.md"),
        (["compare", "runs", "--out", "empty.csv"], "out: empty.csv is no file"),
        (["compare", "runs/going"], r"None of these runs is finished \(1 running\)"),
        (["collect", "nowhere"], "nowhere: no such file or folder"),
        (["collect", "empty"], "No runs in empty"),
        (["collect", "runs", "--out", "table"], r"out: table should end in \.csv"),
        (["collect", "runs", "--out", "runs/sgd0/metrics.csv"], "is what a run has recorded"),
    ],
)
def test_bad_input_is_answered_without_a_traceback(arguments, said, runs, bnnbench, here):
    (here / "empty").mkdir()
    (here / "empty.csv").mkdir()
    result = bnnbench(*arguments)
    assert result.exit_code == 1
    assert re.search(f"error: .*{said}", re.sub(r"\s+", " ", result.stderr)), result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert result.stdout == ""


def test_collect_writes_what_load_returns(runs, bnnbench, here):
    result = bnnbench("collect", "runs")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "read 8 runs (6 finished, 1 failed, 1 running), 7 rows\n"
    lines = list(csv.DictReader(io.StringIO(result.stdout)))
    frame = results.load(runs)
    assert list(lines[0]) == list(frame.columns)
    about = ["run", "status", "dataset", "model", "method", "method.label", "method.optimizer.name", "seed"]
    assert list(lines[0])[:9] == [*about, "iteration"]
    assert [float(line["error"]) for line in lines] == frame["error"].tolist()
    assert {line["iteration"] for line in lines} == {"50", "100"}  # whole numbers stay whole
    written = bnnbench("collect", "runs", "--out", "all.csv")
    assert written.stdout == ""
    assert (here / "all.csv").read_text() == result.stdout
    assert sorted(path.name for path in here.iterdir()) == ["all.csv", "runs"]


def test_collect_says_which_folder_is_damaged(runs, bnnbench):
    (runs / "sgd0" / "metrics.csv").write_text(",".join(results.COLUMNS) + "\n" + "x," * 20 + "x\n")
    result = bnnbench("collect", "runs")
    assert result.exit_code == 0
    assert re.search(r"left out: runs.sgd0.metrics\.csv: .*'x'", result.stderr)
    assert "read 7 runs (5 finished, 1 failed, 1 running), 6 rows; 1 damaged left out" in result.stderr


def test_collect_works_while_a_run_is_writing(runs, bnnbench):
    """A row may reach the file in pieces; whatever the moment, only whole ones are read."""
    table = runs / "going" / "metrics.csv"
    line = table.read_bytes().splitlines(keepends=True)[1]
    stop = threading.Event()

    def keep_writing():
        with table.open("ab", buffering=0) as stream:
            while not stop.is_set():
                for start in range(0, len(line), 7):
                    stream.write(line[start : start + 7])
                    time.sleep(0.0005)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        counts = []
        for _ in range(5):
            result = bnnbench("collect", "runs")
            assert result.exit_code == 0, result.stderr
            going = [cells for cells in csv.DictReader(io.StringIO(result.stdout)) if cells["run"] == "going"]
            assert all((cells["error"], cells["iteration"]) == ("0.9", "50") for cells in going)
            counts.append(len(going))
    finally:
        stop.set()
        writer.join()
    assert counts == sorted(counts) and counts[-1] > 1


def test_the_choices_are_those_that_compare_takes():
    from bnnbench.analysis import compare

    assert verbs.JUDGED == compare.PREDICTORS


@pytest.mark.parametrize("verb", ["compare", "collect"])
def test_neither_loads_torch(verb, runs):
    code = (
        "import sys; from bnnbench.cli.app import app\n"
        f"try: app(['{verb}', '{runs}'], prog_name='bnnbench')\n"
        "except SystemExit as left: assert not left.code\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    root = Path(cli.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
