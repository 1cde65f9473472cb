"""Files that are replaced as a whole, and the formats that are read and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bnnbench.analysis.predictions import last_scores
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.store import checkpoint, files
from bnnbench.store.folder import RunFolder, is_abandoned, is_finished
from bnnbench.store.frame import load_run, read_runs
from bnnbench.store.manifest import Manifest, RunStatus
from bnnbench.store.schema import SCHEMA
from bnnbench.store.tables import last_iteration, write_csv
from bnnbench.tasks.measures import COLUMNS

Compose = Callable[..., dict[str, Any]]
OWN = [*COLUMNS, "deviance"]


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    files.write(target, "old")
    with pytest.raises(KeyboardInterrupt), files.replacing(target) as partial:
        partial.write_text("ne")
        assert target.read_text() == "old"
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert target.read_text() == "old"
    files.write(target, "é")
    assert target.read_bytes() == "é".encode()


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "3", "null", "\udcff"])
def test_a_manifest_that_is_not_to_be_trusted_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    manifest = Manifest.read(tmp_path)
    assert manifest == {}
    assert (manifest.status, manifest.finished, manifest.iterations) == (None, False, None)
    assert manifest.commit is None


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    Manifest(status=RunStatus.FINISHED, iterations=3, git_commit="ab+").write(tmp_path)
    manifest = Manifest.read(tmp_path)
    assert manifest["schema"] == SCHEMA
    assert manifest.finished and manifest.status == "finished" and is_finished(tmp_path)
    assert (manifest.iterations, manifest.commit) == (3, "ab+")


def test_a_run_of_a_later_version_is_refused_in_a_line_and_left_alone(compose: Compose) -> None:
    folder = RunFolder(compose())
    folder.resume(anew=True)
    folder.close()
    path = folder.path / "manifest.json"
    path.write_text(json.dumps({"schema": SCHEMA + 1, "status": "finished"}))
    before = {file: file.read_bytes() for file in folder.path.iterdir()}
    words = rf"manifest\.json: written by a later bnnbench \(schema {SCHEMA + 1}.*up to {SCHEMA}\)\. Upgrade bnnbench\."
    for read in (is_finished, load_run, read_runs, lambda _: RunFolder(compose())):
        with pytest.raises(BnnbenchError, match=words) as caught:
            read(folder.path)
        assert len(str(caught.value).splitlines()) == 1
    assert {file: file.read_bytes() for file in folder.path.iterdir()} == before
    path.write_text("{}")
    RunFolder(compose()).close()  # its lock is free


def state(**more: Any) -> dict[str, Any]:
    chains: dict[str, Any] = {"parameters": {}, "buffers": {}}
    return dict.fromkeys(checkpoint.PARTS, 0) | {"csv_bytes": 10, "rows": [], "chains": chains} | more


def test_a_checkpoint_of_a_later_version_is_refused_and_not_started_over(tmp_path: Path) -> None:
    torch.save(state(schema=SCHEMA + 1), tmp_path / "checkpoint.pt")
    with pytest.raises(BnnbenchError, match=r"checkpoint\.pt: written by a later bnnbench"):
        checkpoint.resumable(tmp_path, 10)


def test_the_newest_checkpoint_with_all_its_rows_is_continued_from(tmp_path: Path) -> None:
    assert checkpoint.resumable(tmp_path, 10) == (None, "")
    for iteration, size in ((1, 10), (2, 20)):
        checkpoint.write(tmp_path, state(iteration=iteration, csv_bytes=size))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]
    for size, iteration in ((25, 2), (20, 2), (19, 1), (10, 1)):
        found, remark = checkpoint.resumable(tmp_path, size)
        assert found == state(iteration=iteration, csv_bytes=10 * iteration, schema=SCHEMA)
        assert ("going on from the one before it" in remark) == (iteration == 1)
    found, remark = checkpoint.resumable(tmp_path, 9)
    assert found is None and "starting anew" in remark


@pytest.mark.parametrize("part", checkpoint.PARTS)
def test_a_checkpoint_that_lacks_a_part_is_damaged(tmp_path: Path, part: str) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({name: value for name, value in state().items() if name != part}, path)
    with pytest.raises(checkpoint.DamagedError, match="damaged and cannot be read"):
        checkpoint.read(path)
    torch.save(state(), path)
    assert checkpoint.read(path)["csv_bytes"] == 10


def test_the_measures_of_a_task_follow_those_of_the_table_and_are_numbers(compose: Compose) -> None:
    folder = RunFolder(compose(), OWN)
    assert folder.resume(anew=True) is None
    row = {"iteration": 5, "chain": 0, "split": "test", "predictor": "current", "nll": 0.5, "deviance": 1 / 3}
    folder.append([row])
    folder.note(measures=[{"name": "nll"}, {"name": "deviance"}])
    folder.close()
    assert (folder.path / "metrics.csv").read_text().splitlines()[0] == ",".join(OWN)
    read = load_run(folder.path)
    assert read.metrics.columns.tolist() == OWN
    assert read.metrics["deviance"].tolist() == [1 / 3]
    assert last_scores(read, "current") == {"nll": 0.5, "deviance": 1 / 3}
    folder.note(measures=None)  # unknown to the manifest it is a word
    assert load_run(folder.path).metrics["deviance"].tolist() == [repr(1 / 3)]


def test_a_run_is_not_continued_with_other_columns(compose: Compose) -> None:
    folder = RunFolder(compose(), OWN)
    folder.resume(anew=True)
    folder.checkpoint(state())
    folder.close()
    before = {file: file.read_bytes() for file in folder.path.iterdir()}
    for columns, differing in ((COLUMNS, "deviance"), ([*OWN[:-2], *OWN[:-3:-1]], "their order")):
        other = RunFolder(compose(), columns)
        with pytest.raises(ConfigError, match=rf"other columns than this run records \({differing}\).*--force"):
            other.resume(anew=False)
        other.close()
        assert {file: file.read_bytes() for file in folder.path.iterdir()} == before
    again = RunFolder(compose(), OWN)
    assert again.resume(anew=False) is not None
    again.close()


def test_a_folder_that_nobody_writes_is_abandoned(compose: Compose) -> None:
    folder = RunFolder(compose())
    assert not is_abandoned(folder.path)
    folder.close()
    assert is_abandoned(folder.path)
    (folder.path / ".lock").unlink()
    assert not is_abandoned(folder.path)  # a copy: nobody can tell


def test_the_last_iteration_is_read_from_the_end_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    assert last_iteration(table) == 0
    write_csv(table, [{"iteration": i, "nll": None} for i in range(5000)])
    assert last_iteration(table) == 4999
    table.write_text("iteration,nll\n")
    assert last_iteration(table) == 0
