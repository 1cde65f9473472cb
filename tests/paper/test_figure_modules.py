"""Every figure module keeps to the protocol: it is found, its runs can be composed, its published values have marks."""

from __future__ import annotations

import csv
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.configurations import composed

from bnnbench.config.identity import folder_name
from bnnbench.errors import ConfigError
from bnnbench.experiment.assembly import check, check_size
from bnnbench.paper import READ_OFF, RECALLED, SEEN, Figure, Value
from bnnbench.paper._figure import figures, load_figure
from bnnbench.paper._tables import published
from bnnbench.store.frame import find_runs
from bnnbench.sweep.plan import combinations
from bnnbench.sweep.sizes import Sizes

FIGURES = figures()
WITH_RUNS = [name for name in FIGURES if load_figure(name).sweeps]
RUNS = {"bbb_mnist": 4, "layers_mnist": 6, "psgld_a9a": 15, "psgld_mnist": 7, "sparse_vd": 1, "sweep_demo": 18}
FULL = {"bbb_mnist": {100}, "layers_mnist": {60, 100}, "psgld_mnist": {20}, "sparse_vd": {200}}  # epochs


def test_figures_are_found_by_their_file() -> None:
    files = (Path(__file__).resolve().parents[2] / "bnnbench" / "paper").glob("[!_]*.py")
    assert sorted(file.stem for file in files) == FIGURES
    assert set(RUNS) <= set(FIGURES)
    with pytest.raises(ConfigError, match=r"no 'psgld_a9'. Did you mean 'psgld_a9a'"):
        load_figure("psgld_a9")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_what_it_is_and_how_it_is_drawn(name: str) -> None:
    figure = load_figure(name)
    for words in (figure.title, figure.source, figure.cost):
        assert len(words) > 5
        assert "\n" not in words and not words.endswith(".")
    assert callable(figure.draw)
    assert figure.sweeps or figure.compute


@functools.cache
def configs(name: str, quick: bool) -> list[dict[str, Any]]:
    """Return the configuration of every run of a figure."""
    return [composed(*each) for sweep in load_figure(name).overrides(quick) for each in combinations(sweep)]


@pytest.mark.parametrize("name", WITH_RUNS)
def test_all_runs_of_a_figure_compose_and_differ(name: str) -> None:
    full, quick = ({folder_name(config) for config in configs(name, q)} for q in (False, True))
    assert len(full) == len(configs(name, False)) == RUNS.get(name, len(full))
    assert not full & quick  # a reduced budget makes another run of each


@pytest.mark.parametrize("quick", [False, True])
def test_the_runs_on_the_embedded_data_leave_posterior_members(quick: bool) -> None:
    sizes = Sizes()
    for config in configs("sweep_demo", quick):
        assert sizes.of(config) == 1438
        check_size(check(config), 1438)


@pytest.mark.parametrize("name", WITH_RUNS)
def test_the_quick_version_runs_less(name: str) -> None:
    full, quick = (
        sum(c["iterations"] / 652 if c["iterations"] else c["epochs"] for c in configs(name, q)) for q in (False, True)
    )
    assert 0 < quick < full / 8


@pytest.mark.parametrize(("name", "epochs"), FULL.items())
def test_the_budget_of_the_full_version(name: str, epochs: set[int]) -> None:
    assert {config["epochs"] for config in configs(name, False)} == epochs


def test_a9a_runs_at_least_five_seeds_to_15000_iterations_at_T_1() -> None:
    seeds: dict[tuple[str, float], set[int]] = {}
    for config in configs("psgld_a9a", False):
        update = config["method"]["optimizer"]
        assert (config["iterations"], config["batch_size"], update["temperature"]) == (15000, 50, 1.0)
        seeds.setdefault((config["method"]["name"], update["lr"]), set()).add(config["seed"])
    assert {method for method, _ in seeds} == {"sgld", "psgld"}
    assert all(len(found) >= 5 for found in seeds.values())


@pytest.mark.parametrize("name", [name for name in FIGURES if re.search(r"\d{4}", load_figure(name).source)])
def test_published_values_say_where_they_are_from_and_how_they_are_known(name: str) -> None:
    values = load_figure(name).published
    assert values
    lines = published(values).splitlines()[2:]
    for value in values:
        (line,) = (x for x in lines if x.startswith(f"| {value.what} |") and f"| {value.source} | {value.mark} |" in x)
        assert value.text in line
    for line in lines:
        assert line.endswith((f"| {SEEN} |", f"| {READ_OFF} |", f"| {RECALLED} |"))
    assert not [line for line in lines if "Li et al. 2016, 400-400" in line and "recalled, not checked" not in line]


def test_the_values_of_the_papers() -> None:
    def of(name: str) -> dict[tuple[str, str], str]:
        return {(v.what, v.mark): v.text for v in load_figure(name).published if v.x is None}

    assert of("psgld_mnist")["pSGLD, σ² = 1", RECALLED] == "1.45"
    assert of("psgld_mnist")["Bayes by backprop, scale mixture", SEEN] == "1.36"
    assert of("bbb_mnist")["Bayes by backprop, Gaussian prior", SEEN] == "1.82"
    assert of("layers_mnist")["variational dropout A", READ_OFF] == "1.26"
    assert of("sparse_vd")["Sparse VD, sparsity of each layer", SEEN] == "98.9–97.2–62.0"
    curve = {v.x: v.value for v in load_figure("psgld_a9a").published if v.what == "pSGLD"}
    assert curve[1200] == 15.0 and all(0 <= x <= 15000 for x in curve)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mark": "published"}, "mark 'published'; allowed are seen in the source"),
        ({"source": ""}, "needs both what and source"),
        ({"value": "1.40", "x": 3.0}, "needs a number"),
    ],
)
def test_a_published_value_without_mark_source_or_number_is_refused(given: dict[str, object], said: str) -> None:
    good = {"what": "SGLD", "value": 1.64, "source": "Li et al. 2016", "mark": RECALLED}
    assert Value(**good).text == "1.64"
    with pytest.raises(ValueError, match=said):
        Value(**{**good, **given})


def test_a_figure_without_runs_or_without_a_quick_version_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        Figure("t", "s", "c", draw=print)
    with pytest.raises(ValueError, match="quick is empty"):
        Figure("t", "s", "c", draw=print, sweeps=(("method=sgd",),))


def test_a_module_without_a_figure_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "nofigure").mkdir()
    (here / "nofigure" / "mine.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(here))
    with pytest.raises(ConfigError, match=r"nofigure\.mine: the module holds no FIGURE"):
        load_figure("nofigure.mine")


def test_published_files_that_are_in_the_repository_draw_without_torch() -> None:
    root = Path(__file__).resolve().parents[2]
    names = [name for name in figures() if (root / "results/published" / name).is_dir()]
    assert names
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from bnnbench.paper._figure import load_figure\nfrom bnnbench.paper._tables import text\n"
        f"for name in {names}:\n"
        f"    folder = Path({str(root)!r}) / 'results/published' / name\n"
        "    figure = load_figure(name)\n"
        "    assert figure.draw(folder, figure.title).axes\n"
        "    print(text(figure, folder, figure.title, name))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
    assert re.search(r"; commit [0-9a-f]{10}", done.stdout)


def test_published_files_in_the_repository_are_small_and_finished() -> None:
    root = Path(__file__).resolve().parents[2] / "results/published"
    for run in find_runs([root]):
        assert '"status": "finished"' in (run / "manifest.json").read_text()
        assert not {file.name for file in run.iterdir()} - {
            "config.yaml",
            "manifest.json",
            "metrics.csv",
            "sparsity.csv",
            "per_datum.npz",
        }
        assert sum(file.stat().st_size for file in run.iterdir()) < 200_000
    for table in root.rglob("*.csv"):
        with table.open(newline="") as stream:
            assert len(list(csv.reader(stream))) > 1
