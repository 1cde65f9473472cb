"""`python -m bnnbench.paper`: runs what is missing, publishes what is finished, changes nothing otherwise."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.records import change_manifest, manifest_of

from bnnbench.analysis.predictions import last_scores
from bnnbench.errors import BnnbenchError
from bnnbench.paper import READ_OFF, Figure, Value
from bnnbench.paper import __main__ as command
from bnnbench.paper._publish import publish
from bnnbench.paper._runs import planned, run_missing
from bnnbench.publishing.blocks import with_block
from bnnbench.store.frame import load_run

Make = Callable[..., Path]
SMALL = ("model.widths=[8]", "members.burn_in=2", "eval.every=7", "threads=1")
pytestmark = pytest.mark.usefixtures("forked_workers")
README = "before\n<!-- toy -->\nold\n<!-- end toy -->\nafter\n"


def toy(**changes: object) -> Figure:
    """Return a figure of two runs on the embedded digits: 28 iterations each, 14 in the quick version."""
    from bnnbench.analysis.plots.curves import draw

    settings = {
        "title": "A toy",
        "source": "A paper",
        "cost": "a second",
        "draw": lambda data, title: draw(data, title=title),
        "sweeps": (("method=sgd,sgld", "epochs=2", *SMALL),),
        "quick": ("epochs=1",),
        "published": (Value("SGLD", "1.5", "A paper, table 1", READ_OFF, method="sgld"),),
        "note": "What to know.",
    }
    return Figure(**{**settings, **changes})


@pytest.fixture
def use(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return name=figure → None: the command then knows these figures alone."""
    (here / "README.md").write_text(README)

    def known(**made: Figure) -> None:
        monkeypatch.setattr(command, "figures", lambda: list(made))
        monkeypatch.setattr(command, "load_figure", made.__getitem__)

    return known


@pytest.fixture(scope="module")
def trained(forked_workers: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """Return quick or not → a folder with the runs of the toy, trained once for all; not to be changed."""

    @functools.cache
    def train(quick: bool) -> Path:
        folder = tmp_path_factory.mktemp("trained")
        with contextlib.chdir(folder):
            run_missing(toy().overrides(quick), "results")
        return folder / "results"

    return train


@pytest.fixture
def done(trained: Callable[[bool], Path], here: Path) -> Callable[..., Path]:
    """Return results=folder → that folder, with a copy of the finished runs of the toy in it."""

    def copied(results: str = "results", quick: bool = False) -> Path:
        return Path(shutil.copytree(trained(quick), here / results))

    return copied


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_runs_drawing_words_and_readme(use: Callable[..., None], here: Path, capsys: pytest.CaptureFixture) -> None:
    use(toy=toy())
    assert command.main(["toy"]) == 0
    published = here / "results/published"
    folders = sorted(path.parent for path in (published / "toy").rglob("metrics.csv"))
    assert [folder.parent.name for folder in folders] == ["adhoc", "adhoc"]
    assert {file.name for folder in folders for file in folder.iterdir()} == {
        *("config.yaml", "manifest.json", "metrics.csv", "per_datum.npz")
    }
    assert (published / "toy.png").stat().st_size > 10_000
    sgld = next(load_run(folder) for folder in folders if "sgld" in folder.name)
    error = 100 * last_scores(sgld, "posterior")["error"]
    words = (published / "toy.md").read_text()
    assert f"| {error:.2f} |" in next(line for line in words.splitlines() if line.startswith("| SGLD (T = 1)"))
    assert words.startswith("### A toy\n\n![A toy](toy.png)\n\nWhat to know.\n")
    assert "1.5 (read off a plot)" in words and "A paper, table 1" in words and "Seed 0; " in words
    readme = (here / "README.md").read_text()
    assert readme == (
        f"before\n<!-- toy -->\n{words.replace('(toy.png)', '(results/published/toy.png)')}<!-- end toy -->\nafter\n"
    )

    before = files_below(here)
    capsys.readouterr()
    assert command.main(["toy"]) == 0  # again: nothing is run, and the same bytes are published
    assert "2 of 2 runs are finished already" in capsys.readouterr().out
    assert files_below(here) == before


def test_a_run_that_is_interrupted_goes_on_and_finished_ones_stay(done: Callable[..., Path]) -> None:
    done()
    sweeps = toy().overrides(quick=False)
    first, second = planned(sweeps, "results")
    kept = (first / "metrics.csv").stat().st_mtime_ns
    change_manifest(second, status="interrupted")
    (second / "metrics.csv").write_text("iteration\n")
    assert run_missing(sweeps, "results") == [first, second]
    assert manifest_of(second)["status"] == "finished"
    assert len(load_run(second).metrics) > 0
    assert (first / "metrics.csv").stat().st_mtime_ns == kept


def test_quick_touches_neither_published_files_nor_readme(
    use: Callable[..., None], here: Path, done: Callable[..., Path]
) -> None:
    use(toy=toy())
    done()
    assert command.main(["toy"]) == 0
    before = files_below(here)
    assert command.main(["--quick"]) == 0
    after = files_below(here)
    assert {name: content for name, content in after.items() if name in before} == before
    assert {Path(name).relative_to(here).parts[:3] for name in set(after) - set(before)} == {
        ("results", "quick", "toy")
    }
    words = (here / "results/quick/toy/toy.md").read_text()
    assert words.startswith("### A toy (quick)\n\n![A toy (quick)](toy.png)\n\nQuick version: epochs=1. Of")
    assert (here / "results/quick/toy/toy.png").stat().st_size > 10_000
    assert {load_run(p.parent).metrics.epoch.max() for p in (here / "results/quick/toy/toy").rglob("metrics.csv")} == {
        14 * 100 / 1438
    }


def test_runs_of_an_older_quick_version_are_not_drawn(
    use: Callable[..., None], here: Path, done: Callable[..., Path]
) -> None:
    use(toy=toy())
    done("results/quick/toy/runs", quick=True)
    assert command.main(["--quick"]) == 0
    use(toy=toy(quick=("epochs=1", "method=sgd")))
    assert command.main(["--quick"]) == 0
    assert len(list((here / "results/quick/toy/runs").rglob("metrics.csv"))) == 2
    assert len(list((here / "results/quick/toy/toy").rglob("metrics.csv"))) == 1


def test_a_failing_run_is_named_and_hinders_no_other_figure(
    use: Callable[..., None], here: Path, done: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    done()
    wrong = toy(sweeps=(("method=sgd", "method.optimizer.lr=0.1,1e30", "epochs=2", *SMALL), ("method=sgld", *SMALL)))
    use(wrong=wrong, typo=toy(sweeps=(("method=sdg", *SMALL),)), toy=toy())
    assert command.main([]) == 1
    told = capsys.readouterr().err
    failed = next(line for line in told.splitlines() if "digits-mlp-sgd" in line and ": failed: " in line)
    assert "1 of 3 runs did not finish" in told
    assert failed.startswith("  results/adhoc/")
    assert "error: typo: method=sdg: no such choice. Did you mean 'sgd'" in told
    assert "not drawn: wrong, typo" in told
    published = {path.name for path in (here / "results/published").iterdir()}
    assert published == {"toy", "toy.png", "toy.md"}


def test_an_unfinished_run_publishes_nothing(here: Path, make_finished: Make) -> None:
    good = make_finished(here / "results/x/a", "sgld")
    bad = make_finished(here / "results/x/b", "sgd", status="running")
    (here / "README.md").write_text(README)
    before = files_below(here)
    with pytest.raises(BnnbenchError, match=r"toy: not finished: .*results/x/b\. Run them to their end first"):
        publish("toy", toy(), [good, bad])
    assert files_below(here) == before
    publish("toy", toy(), [good])
    assert "old" not in (here / "README.md").read_text()


def test_a_drawing_that_fails_leaves_what_was_published(here: Path, make_finished: Make) -> None:
    run = make_finished(here / "results/x/a", "sgld")
    publish("toy", toy(), [run])
    before = files_below(here)

    def fail(data: Path, title: str) -> None:
        assert list(data.rglob("metrics.csv"))
        raise BnnbenchError("no values")

    with pytest.raises(BnnbenchError, match="no values"):
        publish("toy", toy(draw=fail), [make_finished(here / "results/x/b", "sgd")])
    assert {k: v for k, v in files_below(here).items() if "results/x/b" not in k} == before
    assert not list(here.rglob("*.partial"))


def test_what_a_run_has_beside_its_rows_is_kept_and_its_checkpoint_is_not(here: Path, make_finished: Make) -> None:
    run = make_finished(here / "results/x/a", "sgld")
    for extra in ("sparsity.csv", "checkpoint.pt", ".lock"):
        (run / extra).write_text("x\n")
    publish("toy", toy(), [run])
    kept = {file.name for file in (here / "results/published/toy/x/a").iterdir()}
    assert kept == {"config.yaml", "manifest.json", "metrics.csv", "sparsity.csv"}


def test_computed_data_are_published_like_runs(use: Callable[..., None], here: Path) -> None:
    def compute(folder: Path, quick: bool) -> None:
        (folder / "curve.csv").write_text(f"quick\n{quick}\n")
        (folder / "manifest.json").write_text('{"git_commit": "abc", "threads": 2, "device_name": "CPU"}')

    def draw(data: Path, title: str) -> object:
        from matplotlib.figure import Figure as Canvas

        assert (data / "curve.csv").is_file()
        canvas = Canvas()
        canvas.subplots().set_title(title)
        return canvas

    use(made=toy(sweeps=(), compute=compute, draw=draw, table=lambda folder, values: "| a table |"))
    assert command.main(["--quick"]) == 0
    assert not (here / "results/published").exists()
    assert (here / "results/quick/made/made/curve.csv").read_text() == "quick\nTrue\n"
    assert command.main([]) == 0
    assert (here / "results/published/made/curve.csv").read_text() == "quick\nFalse\n"
    assert "| a table |\n" in (here / "results/published/made.md").read_text()


def test_draw_alone_reads_what_is_published(
    use: Callable[..., None], here: Path, make_finished: Make, capsys: pytest.CaptureFixture
) -> None:
    publish("toy", toy(), [make_finished(here / "results/x/a", "sgld")])
    shutil.rmtree(here / "results/x")
    use(toy=toy(title="A new title"), other=toy())
    assert command.main(["--draw"]) == 0
    assert "other: not published yet" in capsys.readouterr().out
    assert "![A new title](results/published/toy.png)" in (here / "README.md").read_text()
    assert not (here / "results/adhoc").exists()
    assert command.main(["--draw", "other"]) == 1
    assert "nothing to draw from. Run: make figures FIG=other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["psgld_a9"], 1, "error: paper: no 'psgld_a9'. Did you mean 'psgld_a9a'"),
        (["vd_kl", "--draw"], 1, "error: vd_kl: results/published/vd_kl: not there"),
    ],
)
def test_wrong_names_are_answered(
    words: list[str], code: int, said: str, here: Path, capsys: pytest.CaptureFixture
) -> None:
    assert command.main(words) == code
    assert said in capsys.readouterr().err
    assert not list(here.iterdir())


def test_quick_and_draw_exclude_each_other(here: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--quick", "--draw"])
    assert "not allowed with" in capsys.readouterr().err


def test_a_block_is_replaced_and_nothing_else() -> None:
    text = "# x\n<!-- ab -->\n<!-- end ab -->\n<!-- a -->\nold \\1\n<!-- end a -->\nend\n"
    replaced = with_block(text, "a", "new \\g<0>\n")
    assert replaced == text.replace("old \\1\n", "new \\g<0>\n")
    assert with_block(replaced, "a", "new \\g<0>\n") == replaced
    assert with_block(text, "nowhere", "new\n") == text


@pytest.mark.parametrize("text", ["<!-- a -->\n", "<!-- end a -->\n<!-- a -->\n", "<!-- a --><!-- end a --><!-- a -->"])
def test_a_block_without_its_end_is_refused(text: str) -> None:
    with pytest.raises(BnnbenchError, match="the block of a should be one '<!-- a -->', then one '<!-- end a -->'"):
        with_block(text, "a", "new\n")


def test_the_plan_names_the_folders_that_runs_write_to(here: Path, done: Callable[..., Path]) -> None:
    sweeps = toy().overrides(quick=True)
    plan = planned(sweeps, "results")
    assert not (here / "results").exists()
    done(quick=True)
    assert run_missing(sweeps, "results") == plan
    assert sorted((here / "results/adhoc").iterdir()) == sorted(here / folder for folder in plan)
