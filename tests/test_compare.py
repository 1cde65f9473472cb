"""Means, standard errors, paired differences and p-values against numbers made by hand, numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.synthetic_runs import row, write_run

from bnnbench.analysis.compare import compare
from bnnbench.analysis.statistics import difference, holm, mean
from bnnbench.errors import BnnbenchError

SCORES = {"sgd": [0.05, 0.08, 0.06], "sgld": [0.03, 0.04, 0.05], "psgld": [0.02, 0.04, 0.03]}


def last(error, **more):
    """The rows of a run: an early evaluation that must not count, and the last one."""
    return [row(100, 0.9, **more), row(200, error, **{"nll": 2 * error, "ece": error / 2} | more)]


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a run below tmp_path."""
    return lambda folder, rows, **settings: write_run(tmp_path / folder, rows, **settings)


@pytest.fixture
def three(make, tmp_path):
    """Three methods, three seeds; SGD has no posterior."""
    for method, errors in SCORES.items():
        for seed, error in enumerate(errors):
            predictor = "current" if method == "sgd" else "posterior"
            rows = last(error, predictor=predictor, train_seconds=10 * seed + 1.0)
            make(f"{method}{seed}", rows, method=method, seed=seed)
    return tmp_path


def repetitions(values):
    return pd.Series(values, pd.RangeIndex(len(values), name="seed"))


def only(comparison):
    (table,) = comparison.tables
    return table


def by_key(comparison):
    return {row.key[0]: row for row in only(comparison).rows}


# --- numbers


def test_mean_and_standard_error_by_hand():
    found = mean(repetitions([1.0, 2.0, 6.0]))
    assert (found.value, found.count) == (3.0, 3)
    assert found.error == pytest.approx(math.sqrt((4 + 1 + 9) / 2) / math.sqrt(3))
    assert mean(repetitions([4.0])).error is None


def test_difference_by_hand():
    # d = 1, 2, 3: mean 2, s = 1, so t = 2√3 with 2 degrees of freedom, whose distribution is known in closed form:
    # P(|T| > t) = 1 − t/√(2 + t²), and t_{2, 0.975} = 0.95 √(2 / (1 − 0.95²)).
    d = difference({"a": 2.0, "b": 4.0, "c": 6.0}, {"c": 3.0, "b": 2.0, "a": 1.0})
    t, quantile = 2 * math.sqrt(3), 0.95 * math.sqrt(2 / (1 - 0.95**2))
    assert (d.pairs, d.value) == (3, pytest.approx(2.0))
    assert d.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert (d.low, d.high) == pytest.approx((2 - quantile / math.sqrt(3), 2 + quantile / math.sqrt(3)))


def test_only_what_both_have_makes_a_pair():
    g = np.random.default_rng(0)
    x = {seed: g.normal() for seed in range(10)}
    y = {seed: g.normal() for seed in range(6, 16)}
    d = difference(x, y)
    shared = [x[s] - y[s] for s in range(6, 10)]
    assert d.pairs == 4
    assert d.value == pytest.approx(np.mean(shared))
    assert d.p == pytest.approx(stats.ttest_1samp(shared, 0).pvalue)
    half = stats.t.ppf(0.975, 3) * np.std(shared, ddof=1) / 2
    assert (d.low, d.high) == pytest.approx((d.value - half, d.value + half))


def test_without_spread_or_pairs_there_is_no_test():
    assert difference({0: 1.0}, {1: 1.0}).value is None
    one = difference({0: 3.0}, {0: 1.0})
    assert (one.pairs, one.value, one.low, one.p) == (1, 2.0, None, None)
    same = difference({0: 0.3, 1: 0.4, 2: 0.7}, {0: 0.1, 1: 0.2, 2: 0.5})  # 0.2 each, up to rounding
    assert (same.pairs, same.value, same.p) == (3, pytest.approx(0.2), None)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3·0.01, 2·0.03, then no less than before
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([0.02, None]) == [0.02, None]
    assert holm([]) == []


def test_holm_keeps_the_error_rate_of_many_tests():
    """Of experiments without any effect, at most 5 % find one; 4.5 standard errors allowed."""
    trials, p = 4000, np.random.default_rng(1).uniform(size=(4000, 8))
    found = np.mean([min(holm(list(row))) < 0.05 for row in p])
    assert found < 0.05 + 4.5 * math.sqrt(0.05 * 0.95 / trials)
    assert np.mean(p.min(1) < 0.05) > 0.3  # uncorrected, a third would have


# --- tables


def test_groups_are_compared_with_the_best(three):
    table = only(compare(three))
    assert [row.key for row in table.rows] == [("psgld",), ("sgld",), ("sgd",)]
    assert table.metrics == ["error", "nll", "ece", "seconds"]
    best, *others = table.rows
    assert best.difference is None
    for row_ in table.rows:
        errors = np.array(SCORES[row_.key[0]])
        for metric, scale in (("error", 1), ("nll", 2), ("ece", 0.5)):
            assert row_.means[metric].value == pytest.approx(scale * errors.mean())
            assert row_.means[metric].error == pytest.approx(scale * stats.sem(errors))
        assert row_.means["seconds"].value == pytest.approx(11.0)
        assert row_.seeds == row_.means["error"].count == 3
    tests = [stats.ttest_rel(SCORES[row_.key[0]], SCORES["psgld"]) for row_ in others]
    for row_, test in zip(others, tests, strict=True):
        assert row_.difference.p == pytest.approx(test.pvalue)
        assert (row_.difference.low, row_.difference.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    corrected = dict(zip([row_.key[0] for row_ in others], holm([t.pvalue for t in tests]), strict=True))
    assert {row_.key[0]: row_.difference.p_holm for row_ in others} == pytest.approx(corrected)


def test_the_prediction_is_the_posterior_mean_else_the_last_iterate(make, tmp_path):
    make("a", [*last(0.02), *last(0.03, predictor="current")])
    make("b", last(0.05, predictor="current"), method="sgd")
    rows = by_key(compare(tmp_path))
    assert (rows["psgld"].prediction, rows["psgld"].means["error"].value) == ("posterior", 0.02)
    assert (rows["sgd"].prediction, rows["sgd"].means["error"].value) == ("last iterate", 0.05)
    assert by_key(compare(tmp_path, predictor="current"))["psgld"].means["error"].value == 0.03
    strict = compare(tmp_path, predictor="posterior")
    assert list(by_key(strict)) == ["psgld"]
    assert strict.left_out == {"without scores of 'posterior' on 'test'": 1}


def test_a_pooled_prediction_is_the_one_repetition_of_its_run(make, tmp_path):
    for seed in (0, 1):
        chains = [r for c in range(3) for r in last(0.05 + 0.01 * c + 0.1 * seed, chain=c)]
        make(f"a{seed}", [*chains, *last(0.02 + 0.02 * seed, chain="all")], chains=3, seed=seed)
        make(f"b{seed}", last(0.07, predictor="current"), method="sgd", seed=seed)
    rows = by_key(compare(tmp_path))
    assert rows["psgld"].prediction == "3 chains pooled"
    assert rows["psgld"].means["error"].count == 2
    assert rows["psgld"].means["error"].value == pytest.approx(0.03)
    assert rows["sgd"].difference.pairs == 2  # what a run ends with pairs with what another ends with
    assert rows["sgd"].difference.value == pytest.approx(0.04)


def test_chains_without_a_pool_are_repetitions_and_pair_chain_by_chain(make, tmp_path):
    g = np.random.default_rng(2)
    errors = {method: g.uniform(0.01, 0.09, size=(2, 3)) for method in ("sgld", "psgld")}
    for method, table in errors.items():
        for seed, chain_errors in enumerate(table):
            rows = [r for c, e in enumerate(chain_errors) for r in last(e, chain=c, train_seconds=5.0 + seed)]
            make(f"{method}{seed}", rows, method=method, seed=seed, chains=3)
    best, other = sorted(errors, key=lambda method: errors[method].mean())
    rows = by_key(compare(tmp_path))
    assert rows[best].means["error"].error == pytest.approx(stats.sem(errors[best].ravel()))
    assert (rows[best].seeds, rows[best].means["error"].count) == (2, 6)
    test = stats.ttest_rel(errors[other].ravel(), errors[best].ravel())
    assert (rows[other].difference.pairs, rows[other].difference.p) == (6, pytest.approx(test.pvalue))
    assert rows[best].means["seconds"].count == 2  # three chains trained as one take one time
    assert rows[best].means["seconds"].error == pytest.approx(0.5)


def test_per_chain_judges_each_chain_though_there_is_a_pool(make, tmp_path):
    chains = [r for c in range(3) for r in last(0.05 + 0.01 * c, chain=c)]
    make("a", [*chains, *last(0.02, chain="all")], chains=3)
    members = [r for c in range(2) for r in last(0.08 + 0.02 * c, chain=c, predictor="current")]
    make("b", [*members, *last(0.03, chain="all")], method="sgd", chains=2)
    rows = by_key(compare(tmp_path, predictor="per_chain"))
    assert (rows["psgld"].prediction, rows["psgld"].means["error"].count) == ("posterior", 3)
    assert rows["psgld"].means["error"].value == pytest.approx(0.06)
    assert (rows["sgd"].prediction, rows["sgd"].means["error"].value) == ("last iterate", pytest.approx(0.09))
    assert rows["sgd"].difference.pairs == 2


def test_a_copy_of_a_run_is_no_new_evidence(make, three):
    make("copy", last(SCORES["sgld"][0]), method="sgld", seed=0)
    assert by_key(compare(three))["sgld"].means["error"].count == 3


def test_splits_of_a_dataset_are_repetitions_and_pair(make, tmp_path):
    values = {"sgld": [0.2, 0.5, 0.9, 0.4], "psgld": [0.1, 0.3, 0.8, 0.35]}
    for method, errors in values.items():
        for split, error in enumerate(errors):
            make(f"{method}{split}", last(error), method=method, options_of_dataset={"split": split})
    table = only(compare(tmp_path))
    assert table.added == []
    assert table.rows[1].difference.p == pytest.approx(stats.ttest_rel(values["sgld"], values["psgld"]).pvalue)
    assert [r.seeds for r in table.rows] == [1, 1]


def test_regression_is_compared_in_rmse(make, tmp_path):
    for seed, rmse in enumerate([3.0, 4.0, 8.0]):
        make(f"a{seed}", [row(200, "", rmse=rmse, nll=1.5)], seed=seed)
    table = only(compare(tmp_path))
    assert table.metrics == ["rmse", "nll", "seconds"]
    assert table.rows[0].means["rmse"].value == pytest.approx(5.0)


def test_more_is_better_where_it_is(make, tmp_path):
    for method, auroc in (("sgd", 0.8), ("psgld", 0.9)):
        make(method, [row(200, "", auroc=auroc, split="kmnist")], method=method)
    table = only(compare(tmp_path, metrics=["auroc"], split="kmnist"))
    assert [r.key[0] for r in table.rows] == ["psgld", "sgd"]
    assert table.rows[1].difference.value == pytest.approx(-0.1)


def test_each_dataset_has_a_table_of_its_own(make, three):
    make("other", last(0.5), dataset="kmnist")
    tables = compare(three).tables
    assert {table.dataset: len(table.rows) for table in tables} == {"MNIST": 3, "KMNIST": 1}


def test_runs_that_differ_in_more_than_the_seed_are_never_averaged(make, tmp_path):
    for i, lr in enumerate([0.1, 0.2]):
        for seed in (0, 1):
            make(f"a{i}{seed}", last(0.02 + 0.02 * i + 0.01 * seed), optimizer={"lr": lr}, seed=seed)
    make("b", last(0.5), method="sgd", optimizer={"lr": 0.5})
    table = only(compare(tmp_path))
    assert (table.by, table.added) == (["method", "method.optimizer.lr"], ["method.optimizer.lr"])
    assert [r.key for r in table.rows] == [("psgld", "0.1"), ("psgld", "0.2"), ("sgd", "0.5")]
    assert table.rows[0].means["error"].value == pytest.approx(0.025)
    asked = only(compare(tmp_path, by=table.by))
    assert (asked.rows, asked.added) == (table.rows, [])
    assert only(compare(tmp_path, by=["method", "lr"])).by == ["method", "method.optimizer.lr"]


def test_what_differs_between_groups_beside_their_method_is_told(make, tmp_path):
    make("a", last(0.1), epochs=10)
    make("b", last(0.2), method="sgd", epochs=20, name="elsewhere", threads=2)
    table = only(compare(tmp_path))
    assert (table.added, table.confounded) == ([], ["epochs"])


def test_all_that_differs_splits_a_group(make, tmp_path):
    for seed in (0, 1):
        make(f"a{seed}", last(0.02), seed=seed, epochs=10)
    make("b", last(0.05), seed=0, epochs=20, batch_size=50)
    table = only(compare(tmp_path))
    assert table.added == ["epochs", "batch_size"]
    assert [row.seeds for row in table.rows] == [2, 1]


def test_the_folder_may_hold_anything(make, three):
    expected = by_key(compare(three))
    make("failed", last(0.001), method="sgld", seed=9, status="failed")
    make("running", last(0.001), method="sgld", seed=8, status="running")
    half = make("half", last(0.001), method="sgld", seed=7, status="running") / "metrics.csv"
    half.write_text(half.read_text()[:-9])
    make("early", [], method="sgld", seed=6, status="interrupted")
    (make("unknown", last(0.001), seed=5) / "manifest.json").write_text('{"status": "fini')
    (make("damaged", last(0.001), seed=4) / "metrics.csv").write_text(half.read_text().replace("0.9", "0.x9"))
    foreign = three / "foreign"
    foreign.mkdir()
    (foreign / "config.yaml").write_text("dataset: a\nmodel: b\nmethod: c\n")
    (foreign / "metrics.csv").write_text("step,loss\n1,2\n")
    (three / "notes.txt").write_text("nothing")
    (three / "multirun.yaml").write_bytes(b"\xff\xfe")
    found = compare(three)
    assert by_key(found) == expected
    assert found.left_out == {"failed": 1, "running": 2, "interrupted": 1, "unknown": 1, "damaged": 1}
    assert len(found.damage) == 1 and "damaged" in found.damage[0]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ({"by": ["mthod"]}, r"by: no configuration key 'mthod' .* Did you mean 'method'.* What differs: method\."),
        ({"by": ["optimizer.rl"]}, r"by: no configuration key 'optimizer.rl' .* Did you mean 'method\.optimizer\.lr'"),
        ({"by": ["seed"]}, "by: 'seed' repeats an experiment"),
        ({"by": ["label"]}, r"several keys end in 'label': dataset\.label, model\.label, method\.label"),
        ({"metrics": ["eror"]}, "metric: no 'eror'. Did you mean 'error'"),
        ({"metrics": ["error", "rmse"]}, "metric: these runs have no values of 'rmse' on 'test'.*Allowed: ece, error"),
        ({"split": "tset"}, "split: no 'tset' in these runs. Did you mean 'test'"),
        ({"predictor": "pooled"}, "predictor: no 'pooled'"),
    ],
)
def test_a_wrong_word_is_answered_in_one_line(three, arguments, answer):
    with pytest.raises(BnnbenchError, match=answer) as caught:
        compare(three, **arguments)
    assert "\n" not in str(caught.value)


def test_without_a_finished_run_there_is_nothing_to_compare(make, tmp_path):
    make("a", last(0.1), status="running")
    make("b", last(0.1), status="failed", seed=1)
    with pytest.raises(BnnbenchError, match=r"None of these runs is finished \(1 running, 1 failed\)"):
        compare(tmp_path)


def test_seconds_from_several_machines_are_told(make, tmp_path):
    for name, threads in (("a", 1), ("b", 4)):
        folder = make(name, last(0.1), method=name)
        manifest = (folder / "manifest.json").read_text()
        words = f'{{"device_name": "CPU", "threads": {threads}, '
        (folder / "manifest.json").write_text(manifest.replace("{", words, 1))
    assert only(compare(tmp_path)).machines == ["CPU with 1 thread", "CPU with 4 threads"]
    assert only(compare(tmp_path, metrics=["error"])).machines == []
