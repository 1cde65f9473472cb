import pytest
from matplotlib.markers import MarkerStyle
from support.synthetic_runs import row

from bnnbench.analysis.groups import replicates
from bnnbench.analysis.plots.labels import legend_entries
from bnnbench.analysis.plots.series import Series, limits
from bnnbench.analysis.plots.style import METHODS, looks, sparse
from bnnbench.store.frame import load_runs


@pytest.fixture
def legend(make_run, tmp_path):
    """Return a function: settings of runs → the legend's entries."""

    def make(*settings, by="method"):
        for i, setting in enumerate(settings):
            make_run(f"r{i}", [row(100, 0.01)], **setting)
        groups = replicates(load_runs(tmp_path))
        return legend_entries(groups, [""] * len(groups), by)

    return make


def test_seed_and_what_cannot_change_numbers_make_no_new_line(legend):
    assert legend(
        {"seed": 0}, {"seed": 1, "device": "cuda", "name": "x", "data": {"root": "/d"}, "checkpoint_every": 9}
    ) == ["PSGLD (T = 1)"]


@pytest.mark.parametrize(
    ("T", "word"), [(1.0, " (T = 1)"), (1 / 50_000, " (T = 1/N)"), (0.25, " (T = 0.25)"), (0.0, " (T = 0)"), (None, "")]
)
def test_temperature_in_words(legend, T, word):
    assert legend({"label": "SGLD", "T": T}) == [f"SGLD{word}"]


def test_keys_without_effect_make_no_new_line(legend):
    """An optimiser ignores the temperature and the members that a sweep over all methods sets."""
    sgd = {"method": "sgd", "label": "SGD", "T": None}
    assert legend(sgd | {"temperature": 1.0}, sgd | {"temperature": 0.5, "members": {"thin": 3}}) == ["SGD"]


def test_a_value_under_two_keys_is_told_once(legend):
    runs = [{"optimizer": {"thin": t}, "walk": {"thin": t}} for t in (10, 20)]
    assert legend(*runs) == ["PSGLD (T = 1, thin = 10)", "PSGLD (T = 1, thin = 20)"]


def test_alike_labels_say_what_differs(legend):
    assert legend(
        {"optimizer": {"lr": 0.1}}, {"optimizer": {"lr": 0.2}}, {"method": "sgd", "label": "SGD", "T": None}
    ) == [
        "PSGLD (T = 1, lr = 0.1)",
        "PSGLD (T = 1, lr = 0.2)",
        "SGD",
    ]


def test_lines_told_apart_by_their_temperature_say_what_else_differs(legend):
    runs = [{"T": 1.0, "temperature": 1.0}, {"T": 0.5, "temperature": 0.5, "optimizer": {"lr": 0.2}, "batch_size": 50}]
    first, second = legend(*runs)
    assert first.startswith("PSGLD (T = 1, ") and second.startswith("PSGLD (T = 0.5, ")
    assert "lr = 0.2" in second and "batch size = 50" in second
    assert "T = " not in first.removeprefix("PSGLD (T = 1") + second.removeprefix("PSGLD (T = 0.5")


def test_norm_and_model_have_words_of_their_own(legend):
    wide = {"model": {"name": "mlp", "label": "MLP 800-800", "widths": [800, 800]}}
    assert legend({}, {"norm": "batch"}, wide) == [
        "PSGLD (T = 1, MLP 400-400, no norm)",
        "PSGLD (T = 1, MLP 400-400, batch norm)",
        "PSGLD (T = 1, MLP 800-800, no norm)",
    ]


def test_temperature_tells_lines_apart_by_itself(legend):
    runs = [{"T": t, "optimizer": {"temperature": t}} for t in (1.0, 0.5)]
    assert legend(*runs) == ["PSGLD (T = 1)", "PSGLD (T = 0.5)"]


def test_lines_named_by_a_key(legend):
    runs = [{"optimizer": {"lr": 0.1}}, {"optimizer": {"lr": 0.2}}]
    assert legend(*runs, by="lr") == ["lr = 0.1 (T = 1)", "lr = 0.2 (T = 1)"]


def test_lines_named_by_temperature_show_it_once(legend):
    runs = [{"T": t, "optimizer": {"temperature": t}} for t in (1.0, 0.5)]
    assert legend(*runs, by="temperature") == ["T = 1", "T = 0.5"]


def test_an_optimiser_keeps_its_name_where_lines_are_named_by_temperature(legend):
    runs = [{"optimizer": {"temperature": 1.0}}, {"method": "sgd", "label": "SGD", "T": None}]
    assert legend(*runs, by="temperature") == ["T = 1", "SGD"]


def test_a_method_looks_alike_in_every_figure():
    alone = looks([("psgld", "a")])["psgld", "a"]
    among = looks([("sgd", "b"), ("psgld", "a"), ("mine", "c")])
    assert alone == among["psgld", "a"] == METHODS["psgld"]
    assert among["mine", "c"].color not in {METHODS["sgd"].color, METHODS["psgld"].color}


def test_variants_share_a_colour_beside_others_and_cycle_alone():
    beside = looks([("psgld", "a"), ("psgld", "b"), ("sgd", "c")])
    assert beside["psgld", "a"].color == beside["psgld", "b"].color
    assert beside["psgld", "a"].dashes != beside["psgld", "b"].dashes
    alone = looks([("psgld", "a"), ("psgld", "b")])
    assert alone["psgld", "a"].color != alone["psgld", "b"].color


def test_fixed_looks_are_all_different():
    drawn = [MarkerStyle(look.marker) for look in METHODS.values()]
    shapes = {str(m.get_path().transformed(m.get_transform()).vertices.round(3) + 0.0) for m in drawn}
    assert len({look.color for look in METHODS.values()}) == len(shapes) == len(METHODS)


def test_markers_are_sparse_and_staggered():
    assert sparse(3, 0, 4) == (0, 1)
    starts = [sparse(80, i, 5) for i in range(5)]
    assert starts == [(0, 10), (2, 10), (4, 10), (6, 10), (8, 10)]


def series(x, y, e):
    import numpy as np

    return Series(np.array(x, float), np.array(y, float), np.array(e, float), seeds=2, chains=1)


def test_limits_by_hand():
    nan = float("nan")
    late = series([0, 50, 100], [90, 3, 2], [nan, 1, nan])
    # After a tenth of the x-range the band reaches 4; the lowest point and band edge is 2. Room: 8 % of 4 − 2.
    assert limits([late]) == pytest.approx((2 - 0.16, 4 + 0.16))
    nearly = series([0, 50, 100], [4.5, 4, 2], [nan] * 3)  # the start is hardly higher: shown
    assert limits([nearly]) == pytest.approx((2 - 0.2, 4.5 + 0.2))
    assert limits([series([0, 1], [5, 5], [0, 0])]) == pytest.approx((4.6, 5.4))
    assert limits([series([0, 1], [float("inf"), nan], [0, 0])]) == (0.0, 1.0)
