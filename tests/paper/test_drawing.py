"""Drawings and tables from CSV made by hand, with numbers that a test can recompute."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from support.configurations import composed
from support.records import manifest_of

from bnnbench.errors import BnnbenchError
from bnnbench.paper import RECALLED, SEEN, Value, _tables, layers_mnist, psgld_a9a, sparse_vd, vd_kl
from bnnbench.paper._figure import figures, load_figure
from bnnbench.sweep.plan import combinations

Make = Callable[..., Path]


def save(figure, file: Path) -> int:
    figure.savefig(file)
    return file.stat().st_size


@pytest.mark.parametrize("name", [name for name in figures() if load_figure(name).sweeps])
def test_every_figure_of_runs_draws_from_csv(name: str, make_finished: Make, tmp_path: Path) -> None:
    figure = load_figure(name)
    for seed, overrides in enumerate(combinations(figure.overrides(quick=True)[0])[:2]):
        make_finished(tmp_path / "data" / str(seed), composed(*overrides)["method"]["name"], seed=seed)
    drawn = figure.draw(tmp_path / "data", "Some words (quick)")
    assert "Some words (quick)" in {ax.get_title() for ax in drawn.axes}
    assert save(drawn, tmp_path / "a.png") > 10_000


def test_points_of_the_papers_curve_stand_where_they_were_read(make_finished: Make, tmp_path: Path) -> None:
    for seed in (0, 1):
        make_finished(tmp_path / f"s{seed}", "sgld", (0.16, 0.15), seed=seed)
    ax = psgld_a9a.draw(tmp_path, "t").axes[0]
    crosses = {line.get_label(): line for line in ax.lines if line.get_marker() == "x"}
    assert set(crosses) == {"SGLD, Li et al. 2016 (read off a plot)", "pSGLD, Li et al. 2016 (read off a plot)"}
    sgld = crosses["SGLD, Li et al. 2016 (read off a plot)"]
    assert dict(zip(sgld.get_xdata(), sgld.get_ydata(), strict=True)) == psgld_a9a.SGLD
    entries = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]
    assert len(entries) == 3  # our line once, and the two curves
    assert ax.get_ylim() == (14.5, 17.5)
    (mine,) = (line for line in ax.lines if line.get_label() == entries[0])
    assert mine.get_color() == sgld.get_color()


def test_scores_are_means_over_seeds_with_their_standard_error(make_finished: Make, tmp_path: Path) -> None:
    last = (0.02, 0.03, 0.07)
    for seed, error in enumerate(last):
        make_finished(tmp_path / f"s{seed}", "vd", (0.5, error), seed=seed, label="VD")
    make_finished(tmp_path / "other", "vd_a", (0.5, 0.0125), label="VD (A)")
    table = _tables.scores(tmp_path, [Value("VD", "1.37", "Kingma et al. 2015", SEEN, method="vd")])
    rows = {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]] for row in table.splitlines()}
    assert rows["VD (T = 1)"][1] == f"4.00 ± {100 * math.sqrt(0.0007 / 3):.2f}"  # variance of 2, 3, 7 % is 7e-4
    assert rows["VD (T = 1)"][-1] == "1.37 (seen in the source)"
    assert rows["VD (A) (T = 1)"][1:3] == ["1.25", "1.25"]
    assert rows["VD (A) (T = 1)"][-1] == "–"


def test_layers_have_the_published_value_of_their_method_beside_them(make_finished: Make, tmp_path: Path) -> None:
    for method in (*layers_mnist.METHODS, *layers_mnist.LONGER):
        make_finished(tmp_path / method, method, label=method)
    table = _tables.scores(tmp_path, layers_mnist.FIGURE.published).splitlines()
    cells = {row.split("|")[1].split("(")[0].strip(): row.split("|")[-2].strip() for row in table[2:]}
    assert cells["adam"] == "1.30 (read off a plot)"
    assert cells["vd_a"] == "1.26 (read off a plot)"
    assert cells["dropout"] == "1.39 (read off a plot)"
    assert cells["mean_field"] == "–"


def test_a_recalled_value_never_stands_without_that_word(make_finished: Make, tmp_path: Path) -> None:
    make_finished(tmp_path / "a", "sgld")
    value = Value("SGLD", "1.64", "Li et al. 2016", RECALLED, method="sgld")
    for text in (_tables.scores(tmp_path, [value]), _tables.published([value])):
        (line,) = (line for line in text.splitlines() if "1.64" in line)
        assert "recalled, not checked" in line


def test_where_numbers_are_from_stands_below(make_finished: Make, tmp_path: Path) -> None:
    make_finished(tmp_path / "a", "sgld", seed=3)
    make_finished(tmp_path / "b", "sgld", seed=0)
    assert _tables.provenance(tmp_path) == "Seeds 0, 3; Some CPU, 1 thread, torch 2.0; commit 0123456789."


LAYERS = """chain,layer,weights,kept,dropped,compression,log_alpha_50
0,fc1,1000,11,0.989,90.909,9.5
0,fc2,100,3,0.97,33.3,
0,out,10,4,0.6,2.5,1.0
0,total,1110,18,0.98378,61.667,
1,fc1,1000,500,0.5,2,9.5
"""


def test_the_layers_of_sparse_vd_stand_beside_the_published_ones(make_finished: Make, tmp_path: Path) -> None:
    folder = make_finished(tmp_path / "a", "sparse_vd")
    values = sparse_vd.FIGURE.published
    assert "no sparsity.csv" in sparse_vd.table(tmp_path, values)
    (folder / "sparsity.csv").write_text(LAYERS)
    lines = sparse_vd.table(tmp_path, values).splitlines()
    assert "| fc1 | 1000 | 11 | 98.9 | 90.9 × | 98.9 (seen in the source) |" in lines
    assert "| out | 10 | 4 | 60.0 | 2.5 × | 62 (seen in the source) |" in lines
    assert "| total | 1110 | 18 | 98.4 | 61.7 × | 68 × (seen in the source) |" in lines
    assert len([line for line in lines if line.startswith("| fc1")]) == 1  # one chain
    (folder / "sparsity.csv").write_text("layer,weights\nfc1,1000\n")  # other columns hinder nothing
    assert "| fc1 | 1000 | – | – | – × | 98.9 (seen in the source) |" in sparse_vd.table(tmp_path, values)


def test_sparse_vd_without_sparsity_says_so(make_finished: Make, tmp_path: Path) -> None:
    folder = make_finished(tmp_path / "a", "sparse_vd")
    text = (folder / "metrics.csv").read_text().splitlines()
    (folder / "metrics.csv").write_text("\n".join(line.rpartition(",")[0] for line in text) + "\n")
    with pytest.raises(BnnbenchError, match="no test sparsity"):
        sparse_vd.draw(tmp_path, "t")


def test_the_curve_of_the_kl_is_within_its_standard_errors(tmp_path: Path) -> None:
    vd_kl.compute(tmp_path, quick=True)
    columns = vd_kl._read(tmp_path)
    x = columns["log_alpha"]
    assert (x[0], x[-1], len(x)) == (-8.0, 8.0, 161)
    # The sigmoid is within 0.01 of the exact curve; of 161 Gaussian deviations one beyond 4.5 has probability 0.001.
    for mine, error, exact in zip(columns["monte_carlo"], columns["standard_error"], columns["sigmoid"], strict=True):
        assert abs(mine - exact) < 0.01 + 4.5 * error
    spread = [error for at, error in zip(x, columns["standard_error"], strict=True) if at > 6]
    # Var log|ε| = π²/8, to which that of log|1 + √α ε| comes close
    assert sum(spread) / len(spread) == pytest.approx(math.sqrt(math.pi**2 / 8 / vd_kl.QUICK_DRAWS), rel=0.05)
    facts = manifest_of(tmp_path)
    assert facts["draws"] == vd_kl.QUICK_DRAWS and facts["versions"]["torch"]


def test_the_cubic_is_drawn_where_alpha_is_at_most_1(tmp_path: Path) -> None:
    x = [i / 10 for i in range(-80, 81)]
    rows = ["log_alpha,monte_carlo,standard_error,cubic,bound,sigmoid", *(f"{at},-1,0.1,-0.9,-1.2,-1" for at in x)]
    (tmp_path / "curve.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "manifest.json").write_text(json.dumps({"draws": 100}))
    drawn = vd_kl.draw(tmp_path, "t")
    reach = {line.get_label(): line.get_xdata()[-1] for line in drawn.axes[0].lines}
    assert reach["cubic, α ≤ 1 (Kingma et al. 2015)"] == 0
    assert reach["sigmoid (Molchanov et al. 2017)"] == 8
    assert len(drawn.axes[0].collections) == 1  # the band of Monte Carlo
    table = vd_kl.table(tmp_path, ())
    assert "| cubic, α ≤ 1 (Kingma et al. 2015) | +0.100 | +0.100 | 0.000 | 0.1000 |" in table
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(BnnbenchError, match=r"manifest\.json: no number of draws\. Make it: make figures"):
        vd_kl.draw(tmp_path, "t")
    with pytest.raises(BnnbenchError, match=r"no such file\. Make it: make figures FIG=vd_kl"):
        vd_kl.draw(tmp_path / "nowhere", "t")
