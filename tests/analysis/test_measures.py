"""A task's own measure goes wherever the built-in ones go, and all that reads the table of measures agrees."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.synthetic_runs import row, write_run
from typer.testing import CliRunner, Result

from bnnbench.analysis.compare import compare
from bnnbench.analysis.plots.curves import draw, plot_curves
from bnnbench.analysis.plots.sparsity import draw as draw_sparsity
from bnnbench.analysis.predictions import final_scores
from bnnbench.analysis.tables import cells, to_csv
from bnnbench.cli import results as verbs
from bnnbench.cli import tune as tune_verb
from bnnbench.cli.app import app
from bnnbench.errors import BnnbenchError
from bnnbench.experiment.progress import Reporter, closing_table, summary
from bnnbench.store.frame import load, load_run
from bnnbench.tasks.measures import COLUMNS, KEYS, MEASURES, SECONDS, Measure, judging, main_measure, measures_of
from bnnbench.tune.objective import score
from bnnbench.tune.space import around
from bnnbench.tune.study import Study

DEVIANCE = Measure("deviance", "deviance", decimals=3, more_is_better=False)
HIT = Measure("hit", "hit rate", "%", 100, 1, more_is_better=True)
OWN = {"score": "deviance", "measures": [asdict(DEVIANCE), asdict(HIT)]}
FINAL = {"sgd": [1.5, 1.75, 2.0], "psgld": [1.0, 1.5, 1.25]}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a run of a task with measures of its own."""

    def write(folder: str, rows: list[dict[str, Any]], manifest: dict[str, Any] = OWN, **settings: Any) -> Path:
        path = write_run(tmp_path / folder, [], dataset=settings.pop("dataset", "counts"), **settings)
        about = json.loads((path / "manifest.json").read_text()) | manifest
        (path / "manifest.json").write_text(json.dumps(about))
        with (path / "metrics.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [*COLUMNS, "deviance", "hit"], restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def counts(write: Write, tmp_path: Path) -> Path:
    """Two methods, three seeds, judged by their deviance; their NLL would rank them the other way."""
    for method, values in FINAL.items():
        for seed, value in enumerate(values):
            rows = [
                row(i, "", predictor=predictor, deviance=value + offset, hit=0.5 - value / 10, nll=-value)
                for i in (100, 200)
                for predictor, offset in (("current", 0.5), ("posterior", 0.0))
            ]
            write(f"{method}{seed}", rows, method=method, seed=seed)
    return tmp_path


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


# --- a measure of the task's own


def test_compare_judges_by_the_score_of_the_task(counts: Path) -> None:
    comparison = compare(counts)
    (table,) = comparison.tables
    assert table.metrics == ["deviance", "nll", "seconds"]
    assert [(group.key[0], group.means["deviance"].value) for group in table.rows] == [("psgld", 1.25), ("sgd", 1.75)]
    assert table.rows[1].difference is not None and table.rows[1].difference.value == pytest.approx(0.5)
    assert cells(table)[0][1:4] == ["deviance", "NLL", "train s"]
    assert next(csv.DictReader(io.StringIO(to_csv(comparison))))["deviance_mean"] == "1.25"
    text = re.sub(r"\s+", " ", call("compare", counts, "--metric", "hit,deviance").stdout)
    assert "hit rate % deviance" in text
    assert text.index("psgld 37.5") < text.index("sgd 32.5")  # the more the better


def test_plot_draws_the_score_of_the_task(counts: Path) -> None:
    figure = draw(counts)
    assert figure.axes[0].get_ylabel() == "Test deviance"
    assert {line.get_ydata()[-1] for line in figure.axes[0].lines} == {1.25, 1.75}
    assert draw(counts, metric="hit").axes[0].get_ylabel() == "Test hit rate (%)"
    assert [path.name for path in plot_curves(counts, out=counts, formats=["svg"])] == ["deviance-test.svg"]


def test_collect_and_load_keep_it_as_numbers(counts: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(call("collect", counts).stdout)))
    assert [float(line["deviance"]) for line in lines] == load(counts)["deviance"].tolist()
    assert load(counts)["hit"].dtype == float


def test_a_setting_of_the_same_name_overwrites_no_measure(counts: Path, write: Write) -> None:
    write("other", [row(100, "", deviance=3.0)], deviance="poisson")
    frame = load(counts)
    assert frame["deviance"].dtype == float
    assert frame.loc[frame["run"] == "other", "config.deviance"].tolist() == ["poisson"]


def test_ls_shows_it(counts: Path) -> None:
    lines = call("ls", "runs", "--results", counts).stdout.splitlines()
    (line,) = [line for line in lines if "/sgd0 " in line]
    assert line.split()[-2:] == ["2.000", "1.500"]


def test_progress_and_the_closing_table_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"split": "test", "predictor": "current", "chain": 0, "deviance": 2.0, "nll": 1.0},
        {"split": "test", "predictor": "current", "chain": 1, "deviance": 3.0, "nll": 1.0},
        {"split": "test", "predictor": "posterior", "chain": 0, "deviance": 1.0, "nll": 1.0},
        {"split": "test", "predictor": "posterior", "chain": "all", "deviance": 0.5, "nll": 1.0},
    ]
    assert summary(rows, OWN) == "test deviance: current 2.500, posterior 0.500"
    Reporter("x", 10, manifest=OWN).scores(10, rows)
    assert "test deviance: current 2.500, posterior 0.500" in capsys.readouterr().out
    table = closing_table(rows, "x", OWN)
    assert [column.header for column in table.columns] == ["split", "predictor", "chain", "deviance", "NLL"]


def test_a_search_looks_for_more_where_more_is_better(tmp_path: Path) -> None:
    space = [around(0.1)]
    for maximize, best in ((True, 2), (False, 1)):
        with Study(tmp_path / f"{maximize}.db", space, None, seed=0, maximize=maximize) as study:
            for trial, value in zip(study.round(4), (0.5, 0.2, 0.9, None), strict=True):
                study.tell(trial, value)
            found = study.best(4)
            assert found is not None and found.number == best


def test_a_search_is_scored_by_it(write: Write) -> None:
    rows = [row(200, "", predictor=p, split="valid", deviance=d) for p, d in (("current", 2.0), ("posterior", 1.0))]
    assert score(write("a", rows), "deviance") == 1.0
    assert score(write("b", rows[:1]), "deviance") == 2.0
    assert score(write("c", rows), "hit") is None


def test_runs_of_several_tasks_meet(counts: Path, write: Write) -> None:
    """The column of a run whose task does not declare it is not read as this measure, and not as a number."""
    write("mnist", [row(200, 0.1, deviance="lots")], {}, dataset="mnist")
    assert {table.dataset: table.metrics[0] for table in compare(counts).tables} == {
        "COUNTS": "deviance",
        "MNIST": "error",
    }
    assert {ax.get_ylabel() for ax in draw(counts).axes} == {"Test deviance", "Test error (%)"}
    with pytest.warns(UserWarning, match="left out: mnist"):
        assert len(draw(counts, metric="deviance").axes) == 1
    assert load_run(counts / "mnist").metrics["deviance"].tolist() == ["lots"]


@pytest.mark.parametrize(
    "entry",
    [
        *(3, None, [], {}, {"name": 3}, {"name": ""}, {"words": "x"}, {"name": "chain"}, {"name": "seconds"}),
        *({"name": "x", key: value} for key, value in (("scale", "100"), ("scale", True), ("scale", float("inf")))),
        *({"name": "x", key: value} for key, value in (("scale", 0), ("decimals", -1), ("decimals", 1.5))),
        *({"name": "x", key: value} for key, value in (("words", 7), ("unit", None), ("more_is_better", "yes"))),
        *({"name": "x", "of": value} for value in ("moon", [], None)),
    ],
)
def test_a_damaged_declaration_is_ignored(entry: object) -> None:
    assert measures_of({"measures": [entry, {"name": "deviance"}]}) == {
        **MEASURES,
        "deviance": Measure("deviance", "deviance"),
    }


def test_a_manifest_without_declarations_has_the_table() -> None:
    for manifest in ({}, {"measures": None}, {"measures": "deviance"}, {"measures": {"name": "deviance"}}):
        assert measures_of(manifest) == MEASURES


def test_the_main_measure_of_a_run_with_and_without_a_score() -> None:
    assert main_measure({}, ["nll", "error", "rmse"]).name == "error"
    assert main_measure({}, ["nll", "rmse"]).name == "rmse"
    assert main_measure({"score": "nll"}, ["error"]).name == "nll"
    assert main_measure(OWN, []) == DEVIANCE
    for damaged in ("deviance", 3, ["nll"], None):  # not declared, or no name
        assert main_measure({"score": damaged}, ["error"]).name == "error"


# --- one truth


def test_the_columns_of_metrics_csv_stay() -> None:
    assert ",".join(COLUMNS) == (
        "iteration,epoch,grad_evals,train_seconds,eval_seconds,chain,split,predictor,members,"
        "error,nll,brier,ece,entropy,mutual_information,auroc,rmse,train_loss,kl,lr,sparsity"
    )
    assert not {*KEYS} & {*MEASURES, SECONDS.name}
    assert all(name == measure.name for name, measure in MEASURES.items())


@pytest.fixture
def complete(write: Write, tmp_path: Path) -> Path:
    """Two methods with a value of every measure."""
    for i, method in enumerate(("sgd", "psgld")):
        values = dict.fromkeys(MEASURES, 0.1 * (i + 1))
        rows = [row(100, values.pop("error"), predictor="current", **values)]
        write(method, rows, {}, method=method, dataset="digits")
    return tmp_path


def completions(verb: str, incomplete: str = "") -> list[str]:
    environment = {
        "_BNNBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": f"bnnbench\n{verb}\n--metric\n{incomplete}",
        "COMP_CWORD": "3",
    }
    return CliRunner().invoke(app, prog_name="bnnbench", env=environment).stdout.split()


def test_compare_takes_what_tab_offers(complete: Path) -> None:
    offered = completions("compare")
    assert offered == [*verbs.COMPARED]
    for metric in offered:
        (table,) = compare(complete, metrics=[metric]).tables
        measure = {**MEASURES, SECONDS.name: SECONDS}[metric]
        assert cells(table)[0][1] == measure.head
        expected = "psgld" if measure.more_is_better else "sgd"
        if metric != SECONDS.name:
            assert table.rows[0].key == (expected,)
        assert cells(table)[1][0][-4] == ("lowest" if measure.more_is_better is None else "best")


def test_plot_takes_what_tab_offers(complete: Path) -> None:
    offered = completions("plot")
    assert offered == [*MEASURES]
    for metric in offered:
        axes = draw(complete, metric=metric).axes[0]
        assert axes.get_ylabel().lower().endswith(MEASURES[metric].axis.lower())
        assert axes.lines[0].get_ydata()[0] == pytest.approx(0.2 * MEASURES[metric].scale)


def test_tune_takes_what_tab_offers() -> None:
    assert completions("tune") == [*tune_verb.METRICS] == [measure.name for measure in judging(MEASURES.values())]


@pytest.mark.parametrize(
    "function", [lambda path: compare(path, metrics=["eror"]), lambda path: draw(path, metric="eror")]
)
def test_a_typo_is_answered_with_all_measures(counts: Path, function: Callable[[Path], object]) -> None:
    with pytest.raises(BnnbenchError, match=r"metric: no 'eror'. Did you mean 'error'.*deviance.*kl, lr"):
        function(counts)


def test_a_measure_without_direction_has_no_best_group(complete: Path) -> None:
    comparison = compare(complete, metrics=["entropy"])
    assert [line["best"] for line in csv.DictReader(io.StringIO(to_csv(comparison)))] == ["", ""]


def test_weights_have_one_value_per_chain_whatever_predicts(write: Write, tmp_path: Path) -> None:
    chains = [row(100, 0.2, predictor="current", chain=c, sparsity=0.5 + 0.25 * c) for c in (0, 1)]
    write("a", [*chains, row(100, 0.1, chain="all")], {}, chains=2)
    (table,) = compare(tmp_path, metrics=["error", "sparsity"]).tables
    means = table.rows[0].means
    assert (means["error"].value, means["error"].count) == (0.1, 1)
    assert (means["sparsity"].value, means["sparsity"].count) == (0.625, 2)


def test_scores_are_of_the_posterior_pooled_over_chains_else_of_the_last_iterate(write: Write) -> None:
    current = [row(100, 0.2 + 0.2 * c, predictor="current", chain=c, kl=c) for c in (0, 1)]
    posterior = [row(100, 0.1 + 0.2 * c, chain=c) for c in (0, 1)]
    assert final_scores(load_run(write("a", current, {})))["error"] == pytest.approx(0.3)
    assert final_scores(load_run(write("b", [*current, *posterior], {})))["error"] == pytest.approx(0.2)
    pooled = [*current, *posterior, row(100, 0.05, chain="all")]
    assert final_scores(load_run(write("c", pooled, {})))["error"] == 0.05
    assert final_scores(load_run(write("d", [], {}))) == {}


@pytest.mark.parametrize(
    ("measure", "value", "text"),
    [
        ("error", 0.023456, "2.35 %"),
        ("error", 0.0, "0.00 %"),
        ("error", 0.00001, "0.001 %"),
        ("nll", 0.07126, "0.0713"),
        ("nll", -3.0, "-3.0000"),
        ("nll", 4e-7, "4e-07"),
        ("rmse", 123456789.0, "1.235e+08"),
        ("kl", 123456.78, "123456.8"),
        ("nll", float("nan"), "nan"),
        ("nll", float("inf"), "inf"),
    ],
)
def test_values_in_words(measure: str, value: float, text: str) -> None:
    assert MEASURES[measure].text(value) == text


def test_the_curve_of_sparsity_shows_the_first_score(tmp_path: Path) -> None:
    head = "chain,threshold,own,weights,kept,dropped,compression,split,hit,nll"
    (tmp_path / "curve.csv").write_text(f"{head}\n0,0,0,9,3,0.6,3,test,0.25,7\n0,1,0,9,9,0,1,test,0.5,7\n")
    axes = draw_sparsity(tmp_path / "curve.csv", measures=measures_of(OWN)).axes[0]
    assert (axes.get_ylabel(), list(axes.lines[0].get_ydata())) == ("Test hit rate (%)", [25.0, 50.0])
    assert draw_sparsity(tmp_path / "curve.csv").axes[0].get_ylabel() == "Test hit"
