"""A run whose data or code have changed is another run: said, in a folder of its own, never averaged with the old."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import invoke
from support.records import manifest_of

from bnnbench.analysis.compare import compare
from bnnbench.data.loading.opened import files_opened
from bnnbench.store import sources
from bnnbench.store.manifest import Manifest

MODULE = """
from pathlib import Path
import numpy as np
from mine.helper import SCALE
TASK, CLASSES = "classification", 2

def load(root, part):
    table = np.loadtxt(Path(__file__).with_name("table.txt"))
    return SCALE * table[:, :2], table[:, 2].astype(int)
"""
RUN = ("run", "dataset.name=mine.data", "model=logistic", "method=sgd", "iterations=20", "batch_size=10", "threads=1")


@pytest.fixture
def project(here: Path, user_package: Callable[..., None]) -> Path:
    user_package("mine", data=MODULE, helper="SCALE = 1.0\n")
    rows = np.random.default_rng(0).normal(size=(60, 3))
    rows[:, 2] = rows[:, 0] > 0
    np.savetxt(here / "mine" / "table.txt", rows)
    return here


def test_a_manifest_names_data_and_code(project: Path) -> None:
    assert invoke(*RUN).exit_code == 0
    (folder,) = (project / "results/adhoc").iterdir()
    kept = {Path(one["file"]).name: one for one in manifest_of(folder)["sources"]}
    assert set(kept) == {"table.txt", "data.py", "helper.py", "__init__.py"}
    assert kept["table.txt"]["bytes"] == (project / "mine/table.txt").stat().st_size


@pytest.mark.parametrize("name", ["table.txt", "data.py", "helper.py"])
def test_an_edit_makes_another_run(name: str, project: Path) -> None:
    assert invoke(*RUN).exit_code == 0
    (old,) = (project / "results/adhoc").iterdir()
    before = (old / "metrics.csv").read_bytes()
    file = project / "mine" / name
    if name == "table.txt":
        np.savetxt(file, np.loadtxt(file)[:50])
    else:
        file.write_text(file.read_text() + "\n")
    done = invoke(*RUN)
    assert done.exit_code == 0 and str(file) in done.stdout and "finished already" not in done.stdout
    new = old.with_name(f"{old.name}-2")
    assert f"results: results/adhoc/{new.name}" in done.stdout
    assert (old / "metrics.csv").read_bytes() == before
    assert f"finished already: results/adhoc/{new.name}" in invoke(*RUN).stdout
    (table,) = compare(project / "results").tables
    assert table.added == ["dataset.files"] and len(table.rows) == 2


def test_the_content_decides_not_the_time(project: Path) -> None:
    assert invoke(*RUN).exit_code == 0
    for file in (project / "mine").glob("*.*"):
        os.utime(file, (1, 1))
    assert "finished already" in invoke(*RUN).stdout


def test_a_result_outlives_its_data(project: Path) -> None:
    assert invoke(*RUN).exit_code == 0
    (project / "mine/table.txt").unlink()
    assert "finished already" in invoke(*RUN).stdout


def test_an_edited_file_made_as_before_is_the_first_run_again(project: Path) -> None:
    assert invoke(*RUN).exit_code == 0
    file = project / "mine/helper.py"
    file.write_text("SCALE = 2.0\n")
    assert "another run" in invoke(*RUN, "--force").stdout
    file.write_text("SCALE = 1.0\n")
    assert "finished already" in invoke(*RUN).stdout and "note" not in invoke(*RUN).stdout


def test_the_same_files_elsewhere_are_the_same_data(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    (first / "set").mkdir(parents=True)
    (first / "set" / "x").write_text("1 2 3")
    kept: dict[str, Any] = {sources.KEY: sources.record([str(first / "set" / "x")], [], first)}
    shutil.copytree(first, second)
    os.utime(second / "set" / "x", (1, 1))
    assert sources.changed(kept, str(second)) is None
    (second / "set" / "x").write_text("1 2 4")
    assert sources.changed(kept, str(second)) == str(second / "set" / "x")
    assert sources.changed(kept, None) is None  # nobody says that the data are elsewhere


@pytest.mark.parametrize(
    "kept", [None, 3, "x", [3], [{}], [{"file": 3, "sha256": "x"}], [{"file": "/dev/zero", "sha256": "0"}]]
)
def test_odd_records_say_nothing(kept: Any) -> None:
    assert sources.changed(Manifest({sources.KEY: kept}), None) is None


def test_only_data_count_as_files_read(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    with files_opened() as opened:
        (tmp_path / "data").read_text()
        (tmp_path / "made").write_text("2")
        (tmp_path / "made").read_text()  # a cache is no source
        Path(np.__file__).read_text()
    (tmp_path / "later").write_text("3")
    (tmp_path / "later").read_text()
    assert list(opened) == [str(tmp_path / "data")]


def test_asking_where_a_run_lies_loads_no_torch() -> None:
    code = "import sys, bnnbench.store.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_start_that_was_made_anew_makes_another_run(here: Path) -> None:
    words = ("run", "method=sgd", "model.widths=[4]", "iterations=4", "threads=1")
    assert invoke(*words, "seed=1", "name=start").exit_code == 0
    (start,) = (here / "results/start").iterdir()
    again = (*words, f"method.init_from={start}")
    assert invoke(*again).exit_code == 0
    assert "finished already" in invoke(*again).stdout
    assert invoke(*words, "seed=1", "name=start", "--force").exit_code == 0
    done = invoke(*again)
    assert f"{start}/checkpoint.pt is not what" in done.stdout and "-2" in done.stdout
    (table,) = compare(here / "results/adhoc").tables
    assert table.added == []  # runs of several seeds start from several runs
