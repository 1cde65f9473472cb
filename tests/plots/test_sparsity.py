"""The figure of a sparsity curve, from its CSV alone."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnnbench.analysis.plots.sparsity import draw, plot_sparsity
from bnnbench.errors import BnnbenchError

WEIGHTS = 1000


def write(folder: Path, kept: dict[float, int], errors: list[float], metric: str = "error", splits=("test",)) -> Path:
    rows = [
        {
            "chain": 0,
            "threshold": threshold,
            "own": int(threshold == 3),
            "weights": WEIGHTS,
            "kept": count,
            "dropped": 1 - count / WEIGHTS,
            "compression": WEIGHTS / count if count else float("inf"),
            "split": split,
            metric: error + 0.01 * (split == "valid"),
        }
        for (threshold, count), error in zip(kept.items(), errors, strict=True)
        for split in splits
    ]
    file = folder / "sparsity_curve.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def curves(figure) -> list[tuple[list[float], list[float]]]:
    """Return (x, y) of every line but the dotted one of the run's threshold."""
    lines = [line for ax in figure.axes for line in ax.lines if line.get_linestyle() != ":"]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def words_inside(figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_error_and_dropped_fraction_in_percent(tmp_path):
    file = write(tmp_path, {-8.0: 400, 0.0: 600, 3.0: 750, 8.0: 1000}, [0.04, 0.03, 0.02, 0.02])
    figure = draw(file, title="here")
    (x, error), (_, dropped) = curves(figure)
    assert x == [-8, 0, 3, 8]
    assert error == pytest.approx([4, 3, 2, 2])
    assert dropped == pytest.approx([60, 40, 25, 0])
    above, below = figure.axes
    assert (above.get_ylabel(), below.get_ylabel()) == ("Test error (%)", "Weights dropped (%)")
    assert above.get_title() == "here"
    assert below.get_title() == "dotted: the run's threshold, 3: 25.00 % dropped, 1/1.333 left"
    assert words_inside(figure) == []
    assert [line.get_xdata()[0] for line in below.lines if line.get_linestyle() == ":"] == [3.0]
    assert above.get_yscale() == below.get_yscale() == "linear"


def test_where_most_is_dropped_the_nines_are_far_apart(tmp_path):
    file = write(tmp_path, {-8.0: 0, 0.0: 1, 3.0: 10, 8.0: 1000}, [0.9, 0.5, 0.02, 0.02])
    figure = draw(file)
    above, below = figure.axes
    assert above.get_yscale() == below.get_yscale() == "log"
    (_, error), (_, kept), (at, beyond) = curves(figure)
    assert error == pytest.approx([90, 50, 2, 2])
    np.testing.assert_allclose(kept, [np.nan, 0.001, 0.01, 1])  # nothing left has no place of its own on this axis
    low, high = below.get_ylim()
    assert low > 1 > 0.001 > beyond[0] > high > 0  # upside down: the more is dropped, the higher
    assert (at, beyond[1]) == ([-8, 0], 0.001)
    assert below.lines[1].get_linestyle() == "--"
    figure.canvas.draw()
    shown = dict(zip(below.get_yticks(), (label.get_text() for label in below.get_yticklabels()), strict=True))
    assert list(shown.values()) == ["50", "0", "90", "99", "99.9", "100"]
    assert shown[beyond[0]] == "100"


@pytest.mark.parametrize("kept", [[0, 0, 0, 3, 1000], [0, 0, 0, 700, 1000], [0, 0, 0, 0, 0], [1, 2, 3, 4, 1000]])
def test_every_threshold_of_the_table_is_drawn_also_where_nothing_is_left(tmp_path, kept):
    x = [-8.0, -4.0, 0.0, 3.0, 8.0]
    figure = draw(write(tmp_path, dict(zip(x, kept, strict=True)), [0.9, 0.9, 0.5, 0.2, 0.2]))
    for ax in figure.axes:
        lines = [line for line in ax.lines if line.get_linestyle() != ":"]
        assert {px for line in lines for px, py in line.get_xydata() if np.isfinite(py)} == set(x)
        assert ax.get_xlim()[0] <= -8 and ax.get_xlim()[1] >= 8
        for y in (py for line in lines for py in line.get_ydata() if np.isfinite(py)):
            assert min(ax.get_ylim()) < y < max(ax.get_ylim())
    left = "nothing left" if kept[3] == 0 else f"1/{WEIGHTS / kept[3]:.4g} left"
    assert figure.axes[1].get_title().endswith(left)


def test_both_splits_are_drawn_the_test_split_in_front(tmp_path):
    file = write(tmp_path, {0.0: 500, 8.0: 1000}, [0.05, 0.04], splits=("valid", "test"))
    figure = draw(file)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["test", "valid"]
    assert [y for _, y in curves(figure)][:2] == [pytest.approx([5, 4]), pytest.approx([6, 5])]
    assert figure.axes[0].get_ylabel() == "Error (%)"
    assert [ax.get_title() for ax in figure.axes] == ["", ""]  # no layer has a threshold of its own here


def test_regression_shows_the_rmse_as_it_is(tmp_path):
    figure = draw(write(tmp_path, {0.0: 500, 3.0: 1000}, [2.5, 2.0], metric="rmse"))
    assert figure.axes[0].get_ylabel() == "Test RMSE"
    assert curves(figure)[0][1] == [2.5, 2.0]


def test_an_error_of_zero_does_not_stop_the_drawing(tmp_path):
    figure = draw(write(tmp_path, {0.0: 500, 3.0: 1000}, [0.5, 0.0]))
    assert figure.axes[0].get_yscale() == "linear"


def test_one_threshold_is_enough(tmp_path):
    assert len(plot_sparsity(write(tmp_path, {3.0: 0}, [0.9]))) == 3


def test_files_beside_the_table_or_where_wanted_equal_to_the_byte(tmp_path):
    file = write(tmp_path, {0.0: 500, 3.0: 1000}, [0.5, 0.1])
    first = plot_sparsity(file)
    assert [path.name for path in first] == ["sparsity_curve.png", "sparsity_curve.pdf", "sparsity_curve.svg"]
    assert {path.parent for path in first} == {tmp_path}
    second = plot_sparsity(file, out=tmp_path / "new" / "v1.2")
    assert [path.name for path in second] == ["v1.2.png", "v1.2.pdf", "v1.2.svg"]
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]
    with pytest.raises(BnnbenchError, match="Did you mean 'png'"):
        plot_sparsity(file, formats=["pgn"])


def test_another_table_is_refused(tmp_path):
    with pytest.raises(BnnbenchError, match=r"none\.csv: no such file. `bnnbench sparsity RUN` makes it"):
        draw(tmp_path / "none.csv")
    for text in ("", "a,b\n1,2\n"):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(BnnbenchError, match=r"x\.csv: not a table of `bnnbench sparsity`"):
            draw(tmp_path / "x.csv")


def test_drawing_never_loads_torch(tmp_path):
    file = write(tmp_path, {0.0: 500, 3.0: 1000}, [0.5, 0.1])
    code = (
        "import sys\nfrom bnnbench.analysis.plots.sparsity import plot_sparsity\n"
        f"plot_sparsity({str(file)!r})\nprint([m for m in ('torch', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
