import math

import numpy as np
import pytest
from support.synthetic_runs import row

from bnnbench.analysis.plots import plot_curves
from bnnbench.analysis.plots.curves import draw
from bnnbench.errors import BnnbenchError


def lines(figure, panel=0):
    """The lines of the legend: label → (x, y)."""
    drawn = {line.get_label(): line.get_xydata().T for line in figure.axes[panel].lines}
    return {label: xy for label, xy in drawn.items() if not label.startswith("_")}


def legend(figure, panel=0):
    return [text.get_text() for text in figure.axes[panel].get_legend().get_texts()]


def bands(figure):
    """The (lowest, highest) y of each band."""
    paths = [band.get_paths() for band in figure.axes[0].collections]
    return [(p[0].vertices[:, 1].min(), p[0].vertices[:, 1].max()) for p in paths if p]


def caption(figure, panel=0):
    return figure.axes[panel].texts[0].get_text().replace("\n", " · ")


def test_mean_and_standard_error_over_seeds_in_percent(make_run, tmp_path):
    for seed, error in enumerate([0.01, 0.02, 0.06]):
        make_run(f"s{seed}", [row(100, error), row(200, error)], seed=seed, label="pSGLD")
    figure = draw(tmp_path)
    x, y = lines(figure)["pSGLD (T = 1)"]
    assert x.tolist() == [100, 200]
    assert y == pytest.approx([3.0, 3.0])
    half = math.sqrt((2**2 + 1**2 + 3**2) / 2) / math.sqrt(3)  # deviations −2, −1, 3
    assert bands(figure) == [pytest.approx((3 - half, 3 + half))]
    assert figure.axes[0].get_ylabel() == "Test error (%)"
    assert "N = 50,000 · T = 1 · 3 seeds · band: mean ± 1 s.e." in caption(figure)


def test_chains_are_replicates_and_their_pool_is_not(make_run):
    rows = [row(100, 0.01, chain=0), row(100, 0.03, chain=1), row(100, 0.5, chain="all")]
    folder = make_run("a", rows, chains=2)
    _, y = lines(draw(folder))["PSGLD (T = 1)"]
    assert y == pytest.approx([2.0])
    assert "2 chains each" in caption(draw(folder))


def test_lines_of_unlike_numbers_of_seeds_say_theirs_in_the_legend(make_run, tmp_path):
    for seed in range(3):
        make_run(f"p{seed}", [row(100, 0.01 * seed)], seed=seed, label="pSGLD")
    make_run("s", [row(100, 0.05, predictor="current")], method="sgd", label="SGD", T=None)
    assert legend(draw(tmp_path / "s")) == ["SGD (last iterate)"]
    figure = draw(tmp_path)
    assert legend(figure) == ["pSGLD (T = 1, 3 seeds)", "SGD (last iterate, 1 seed)"]
    assert "1–3 seeds · band: mean ± 1 s.e." in caption(figure)


def test_a_step_size_typed_1_or_1_point_0_is_one_line(make_run, tmp_path):
    for seed, lr in enumerate([1, 1.0]):
        make_run(f"s{seed}", [row(100, 0.01 + 0.02 * seed)], seed=seed, optimizer={"lr": lr})
    assert lines(draw(tmp_path))["PSGLD (T = 1)"][1] == pytest.approx([2.0])


def test_a_copy_of_a_run_is_no_new_evidence(make_run, tmp_path):
    for name, seed, error in (("a", 0, 0.01), ("copy", 0, 0.01), ("b", 1, 0.04)):
        make_run(name, [row(100, error)], seed=seed)
    _, y = lines(draw(tmp_path))["PSGLD (T = 1)"]
    assert y == pytest.approx([2.5])


def test_without_replicates_there_is_no_band(make_run):
    assert bands(draw(make_run("a", [row(100, 0.01), row(200, 0.01)]))) == []


def test_a_method_without_posterior_shows_its_last_iterate_and_says_so(make_run):
    folder = make_run("a", [row(100, 0.02, predictor="current")], method="sgd", label="SGD", T=None)
    figure = draw(folder)
    assert legend(figure) == ["SGD (last iterate)"]
    assert lines(figure)["SGD (last iterate)"][1] == pytest.approx([2.0])
    assert "T =" not in caption(figure)


def test_a_deep_ensemble_shows_its_pooled_prediction(make_run):
    members = [row(100, 0.05, chain=c, predictor="current") for c in range(3)]
    folder = make_run("a", [*members, row(100, 0.02, chain="all")], method="sgd", label="SGD", T=None, chains=3)
    for predictor in ("posterior", "pooled"):
        assert lines(draw(folder, predictor=predictor))["SGD (mean of 3 networks)"][1] == pytest.approx([2.0])


def test_pooled_draws_the_mean_over_all_chains_of_a_sampler(make_run):
    chains = [row(100, 0.05, chain=c) for c in range(3)]
    folder = make_run("a", [*chains, row(100, 0.02, chain="all")], chains=3)
    alone = make_run("b", [row(100, 0.04)], method="sgld", label="SGLD")
    pooled = lines(draw([folder, alone], predictor="pooled"))
    assert pooled["PSGLD (T = 1, 3 chains pooled)"][1] == pytest.approx([2.0])
    assert pooled["SGLD (T = 1)"][1] == pytest.approx([4.0])  # one chain has nothing to pool
    assert lines(draw(folder))["PSGLD (T = 1)"][1] == pytest.approx([5.0])
    colors = {draw(folder, predictor=p).axes[0].lines[0].get_color() for p in ("pooled", "posterior")}
    assert len(colors) == 1  # it is the same method


def test_an_ensemble_by_name_is_not_called_one_twice(make_run):
    folder = make_run(
        "a", [row(100, 0.02, chain="all")], method="sgd_ensemble", label="Deep ensemble", T=None, chains=5
    )
    assert legend(draw(folder)) == ["Deep ensemble (mean of 5 networks)"]


def test_both_draws_a_bold_and_a_pale_line(make_run):
    folder = make_run("a", [row(100, 0.01), row(100, 0.03, predictor="current")])
    figure = draw(folder, predictor="both")
    bold, pale = sorted(figure.axes[0].lines, key=lambda line: -line.get_linewidth())
    assert (bold.get_ydata()[0], pale.get_ydata()[0]) == pytest.approx((1.0, 3.0))
    assert bold.get_color() == pale.get_color()
    assert pale.get_alpha() < 1
    assert legend(figure) == ["PSGLD (T = 1)", "last iterate"]
    assert lines(draw(folder, predictor="current"))["PSGLD (T = 1, last iterate)"][1] == pytest.approx([3.0])


@pytest.mark.parametrize(("x", "label", "at"), [("epoch", "Epochs", 2), ("grad_evals", "Gradient evaluations", 20_000)])
def test_other_x_axes(make_run, x, label, at):
    figure = draw(make_run("a", [row(200, 0.01)]), x=x)
    assert figure.axes[0].get_xlabel() == label
    assert lines(figure)["PSGLD (T = 1)"][0].tolist() == [at]


def test_replicates_meet_by_iteration_when_x_is_time(make_run, tmp_path):
    make_run("a", [row(100, 0.01, train_seconds=1.0), row(200, 0.01, train_seconds=2.0)], seed=0)
    make_run("b", [row(100, 0.03, train_seconds=3.0), row(200, 0.03, train_seconds=6.0)], seed=1)
    x, y = lines(draw(tmp_path, x="seconds"))["PSGLD (T = 1)"]
    assert x.tolist() == [2.0, 4.0]
    assert y == pytest.approx([2.0, 2.0])


def test_failed_runs_count_and_the_caption_says_so(make_run, tmp_path):
    make_run("a", [row(100, 0.01)])
    make_run("b", [row(100, 0.03)], seed=1, status="failed")
    make_run("c", [], method="sgld", status="failed")
    figure = draw(tmp_path)
    assert legend(figure) == ["PSGLD (T = 1)"]
    assert "2 of 3 runs not finished · no values: SGLD" in caption(figure)


def test_the_first_high_points_do_not_squash_the_plot(make_run):
    rows = [row(t, 0.9 if t <= 100 else 0.01 + 1 / t) for t in range(50, 5001, 50)]
    folder = make_run("a", rows)
    low, high = draw(folder).axes[0].get_ylim()
    assert 1.0 < low < 1.02 and 100 * (0.01 + 1 / 550) < high < 1.25  # late points: 1.02 to 1.18 %
    assert draw(folder, ylim=(0, 50)).axes[0].get_ylim() == (0, 50)


def test_a_panel_per_dataset_up_to_four(make_run, tmp_path):
    for i, name in enumerate(["mnist", "kmnist"]):
        make_run(f"r{i}", [row(100, 0.01 * (i + 1))], dataset=name)
    figure = draw(tmp_path)
    assert [ax.get_title() for ax in figure.axes] == ["MNIST", "KMNIST"]
    assert [lines(figure, i)["PSGLD (T = 1)"][1][0] for i in (0, 1)] == pytest.approx([1.0, 2.0])
    for name in ("a9a", "digits", "svhn"):
        make_run(name, [row(100, 0.01)], dataset=name)
    with pytest.raises(BnnbenchError, match=r"5 datasets .* do not fit one figure; the most is 4"):
        draw(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ({"metric": "eror"}, "Did you mean 'error'"),
        ({"x": "epochs"}, "Did you mean 'epoch'"),
        ({"split": "tst"}, "Did you mean 'test'"),
        ({"predictor": "posteriors"}, "Did you mean 'posterior'"),
        ({"by": "method.optimizer.rl"}, "Did you mean 'method.optimizer.lr'"),
        ({"metric": "rmse"}, r"no values of 'rmse' on 'test'.* Allowed: error\."),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(make_run, wrong, answer):
    with pytest.raises(BnnbenchError, match=answer):
        draw(make_run("a", [row(100, 0.01)]), **wrong)


def test_no_rows_at_all(make_run):
    with pytest.raises(BnnbenchError, match="None of the 1 runs"):
        draw(make_run("a", [], status="running"))


def test_files_are_written_by_format_and_equal_to_the_byte(make_run, tmp_path):
    folder = make_run("a", [row(t, 0.01 + 1 / t) for t in range(100, 1000, 100)])
    first = plot_curves(folder, out=tmp_path / "new" / "v1.2")
    assert [file.name for file in first] == ["v1.2.png", "v1.2.pdf", "v1.2.svg"]
    second = plot_curves(folder, out=tmp_path / "again")
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True)] == [True] * 3
    assert [f.name for f in plot_curves(folder, out=tmp_path / "one.pdf")] == ["one.pdf"]
    assert [f.name for f in plot_curves(folder, out=tmp_path, formats=["svg"])] == ["error-test.svg"]
    with pytest.raises(BnnbenchError, match="Did you mean 'png'"):
        plot_curves(folder, out=tmp_path / "x", formats=["pgn"])


def test_log_axis_takes_its_limits_from_the_late_points(make_run):
    folder = make_run("a", [row(t, 0.5 if t < 100 else 1 / t) for t in range(50, 5001, 50)])
    ax = draw(folder, log_y=True).axes[0]
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert 0 < low < 100 / 5000 and high < 1.0
    assert np.isfinite([low, high]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"ylim": (5.0, 1.0)}, "lower end comes first"), ({"ylim": (0.0, 1.0), "log_y": True}, "above 0")],
)
def test_limits_the_wrong_way_round_are_refused(make_run, arguments, words):
    with pytest.raises(BnnbenchError, match=words):
        draw(make_run("a", [row(100, 0.01)]), **arguments)


def test_an_unknown_ending_is_refused(make_run, tmp_path):
    with pytest.raises(BnnbenchError, match="no format 'jpeg'"):
        plot_curves(make_run("a", [row(100, 0.01)]), out=tmp_path / "x.jpeg")


def test_a_measure_of_the_training_is_that_of_the_last_iterate_whatever_predicts(make_run):
    rows = [row(100, 0.01, predictor=p, train_loss=0.3) for p in ("current", "posterior")]
    for predictor in ("posterior", "both", "pooled"):
        figure = draw(make_run(predictor, rows), metric="train_loss", predictor=predictor)
        assert legend(figure) == ["PSGLD (T = 1, last iterate)"]
        assert figure.axes[0].get_ylabel() == "Training loss (nats)"


def test_a_dataset_without_the_measure_is_left_out_and_said(make_run, tmp_path):
    make_run("a", [row(100, 0.01)])
    make_run("b", [row(100, "", rmse=0.5)], dataset="yacht")
    with pytest.warns(UserWarning, match=r"left out: yacht: metric: these runs have no values of 'error' on 'test'"):
        figure = draw(tmp_path, metric="error")
    assert len(figure.axes) == 1 and caption(figure).startswith("MNIST")


def test_without_a_metric_each_dataset_shows_the_score_of_its_task(make_run, tmp_path):
    make_run("a", [row(100, 0.01)])
    make_run("b", [row(100, "", rmse=0.5)], dataset="yacht")
    figure = draw(tmp_path)
    assert [ax.get_ylabel() for ax in figure.axes] == ["Test error (%)", "Test RMSE"]
    assert [file.name for file in plot_curves(tmp_path, out=tmp_path, formats=["svg"])] == ["error-rmse-test.svg"]


def test_ece_is_in_percent(make_run):
    figure = draw(make_run("a", [row(100, 0.01, ece=0.025)]), metric="ece")
    assert figure.axes[0].get_ylabel() == "Test ECE (%)"
    assert lines(figure)["PSGLD (T = 1)"][1] == pytest.approx([2.5])
