"""A run that was interrupted, at whatever instant, continues with the same numbers."""

from __future__ import annotations

import errno
import io
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from rich.console import Console
from support import crash
from support.records import change_manifest, manifest_of, numbers

from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.experiment import machine
from bnnbench.experiment.evaluation import Evaluator
from bnnbench.experiment.run import run
from bnnbench.store import folder as records

Run = Callable[..., Path]
Compose = Callable[..., dict[str, Any]]


class Crash(Exception):
    """Stands for the machine going down."""


@pytest.mark.parametrize(
    "method",
    [
        ["method=psgld"],
        ["method=psgld", "method.optimizer.gamma=hutchinson", "method.optimizer.v_adapt=always", "model.widths=[4]"],
        ["method=sgd", "method.optimizer.momentum=0.9", "chains=2"],
        ["method=adam"],
        ["method=batchnorm_sgld", "method.bn_stats=frozen"],
        ["method=batchnorm_sgld", "method.bn_stats=running", "chains=2"],
        ["method=sparse_vd"],
        ["method=bbb", "method.predictive.draws=2", "chains=2"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("crash_at", [pytest.param("evaluation", marks=pytest.mark.slow), "checkpoint"])
def test_a_run_that_crashed_continues_with_the_same_numbers(
    method: list[str], crash_at: str, run_small: Run, runs_done: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overrides = [*method, "epochs=5", "members.burn_in=20", "members.thin=15", "eval.every=20", "checkpoint_every=0"]
    whole = runs_done(tuple(overrides))
    calls = {"count": 0}

    def crashing(original: Callable[..., Any], at: int) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls["count"] += 1
            if calls["count"] == at:
                raise Crash
            return original(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        if crash_at == "evaluation":
            patch.setattr(Evaluator, "__call__", crashing(Evaluator.__call__, 3))
        else:  # after the rows of iteration 60 were written and before their checkpoint was
            patch.setattr(records.RunFolder, "checkpoint", crashing(records.RunFolder.checkpoint, 3))
        with pytest.raises(Crash):
            run_small(*overrides)
    (crashed,) = (tmp_path / "results" / "adhoc").iterdir()
    assert "Crash" in (crashed / "error.txt").read_text()
    assert 0 < len(numbers(crashed)) < len(numbers(whole))
    # A crash can also leave half a row behind.
    with (crashed / "metrics.csv").open("a") as stream:
        stream.write("80,8.57,12")
    continued = run_small(*overrides)
    assert continued == crashed
    assert numbers(continued) == numbers(whole)
    assert manifest_of(continued)["status"] == "finished"
    assert not (continued / "error.txt").exists()


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_means_starting_anew(damage: bytes | None, run_small: Run) -> None:
    folder = run_small()
    before = numbers(folder)
    change_manifest(folder, status="running")
    if damage is None:  # a checkpoint of more rows than there are
        (folder / "metrics.csv").write_text("")
    else:
        (folder / "checkpoint.pt").write_bytes(damage)
    assert numbers(run_small()) == before


@pytest.mark.parametrize("damage", ["half", "empty", "gone"])
def test_behind_a_damaged_checkpoint_is_the_one_before_it(
    damage: str, compose: Compose, run_small: Run, runs_done: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overrides = ["method=mean_field", "method.predictive.draws=2", "eval.every=20", "checkpoint_every=0"]
    whole = numbers(runs_done(tuple(overrides)))
    with monkeypatch.context() as patch:
        kept = records.RunFolder.checkpoint
        calls: list[int] = []

        def until_the_third(self: records.RunFolder, state: dict[str, Any]) -> None:
            kept(self, state)
            calls.append(state["iteration"])
            if len(calls) == 3:
                raise Crash

        patch.setattr(records.RunFolder, "checkpoint", until_the_third)
        with pytest.raises(Crash):
            run_small(*overrides)
    assert calls == [20, 40, 60]
    (folder,) = (tmp_path / "results" / "adhoc").iterdir()
    newest = folder / "checkpoint.pt"
    if damage == "gone":  # the power failed between the two renamings
        newest.unlink()
    else:
        newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2] if damage == "half" else b"")
    said = io.StringIO()
    small = ("epochs=9.74", "members.burn_in=50", "threads=1", "model.widths=[16]")
    assert run(compose(*small, *overrides), Console(file=said)) == folder
    assert "resumed at iteration 40" in said.getvalue()
    assert ("checkpoint.pt is damaged: going on from the one before it" in said.getvalue()) == (damage != "gone")
    assert numbers(folder) == whole
    assert not (folder / "checkpoint.previous.pt").exists()  # one is enough once the run is finished


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_instants_change_no_number(kills: int, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """See crash.py, which `make crash-test` runs with a hundred kills."""
    code = crash.main(["--kills", str(kills), "--iterations", "200", "--results", str(tmp_path)])
    said = capsys.readouterr().out
    assert code == 0, said
    assert said.startswith(f"{kills} kills")


def test_a_run_killed_at_once_during_force_is_not_taken_for_finished(
    run_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_small()
    before = numbers(folder)

    def die(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("bnnbench.experiment.run._announce", die)
        patch.setattr(records.RunFolder, "fail", lambda *_: None)  # a killed process says nothing
        with pytest.raises(Crash):
            run_small("force=true")
    manifest = manifest_of(folder)
    assert manifest == {"schema": 2, "status": "running"}  # nothing of the old run is left standing
    assert numbers(run_small()) == before


def test_a_process_that_is_killed_leaves_a_run_that_continues(compose: Compose, run_small: Run, tmp_path: Path) -> None:
    """kill -9, at an instant of the system's choosing after the first checkpoint."""
    words = [
        "epochs=50",
        "model.widths=[16]",
        "members.burn_in=50",
        "eval.every=50",
        "threads=1",
        "checkpoint_every=0",
    ]
    process = crash.start(compose(*words))
    folder = records.run_path(compose(*words))
    deadline = time.monotonic() + 300
    while not (folder / "checkpoint.pt").is_file() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    killed = numbers(folder)
    assert manifest_of(folder)["status"] == "running"
    assert run_small(*words) == folder
    whole = run_small(*words, f"results={tmp_path / 'whole'}")
    assert 0 < len(killed) < len(numbers(whole))
    assert numbers(folder) == numbers(whole)


def test_a_checkpoint_of_another_kind_of_device_is_not_continued(run_small: Run) -> None:
    folder = run_small()
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save({**checkpoint, "device": "cuda"}, folder / "checkpoint.pt")
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"device=cuda.*--force"):
        run_small()


def test_a_full_disk_is_said_with_the_folder_and_leaves_nothing_half_written(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(state: Any, stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(BnnbenchError, match=r"digits-mlp-psgld-.*checkpoint\.pt could not be written"):
            run_small("checkpoint_every=0")
    (folder,) = (tmp_path / "results" / "adhoc").iterdir()
    assert not list(folder.glob("*.partial"))
    assert "could not be written" in (folder / "error.txt").read_text()  # for so small a file there was room
    assert manifest_of(folder)["status"] == "failed"
    assert run_small("checkpoint_every=0") == folder


def test_a_row_that_finds_the_disk_full_is_not_left_half_written(compose: Compose) -> None:
    folder = records.RunFolder(compose())
    folder.resume(anew=True)
    table = folder.path / "metrics.csv"
    folder.append([{"iteration": 1}])
    before = table.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 3, limits[1]))
    try:
        with pytest.raises(OSError):
            folder.append([{"iteration": 123456}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert table.read_bytes() == before
    folder.close()


def test_a_disk_that_lets_nothing_be_removed_still_gives_the_folder_free(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = records.RunFolder(compose())

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        folder.close()
    again = records.RunFolder(compose())  # is refused while another process has the lock
    assert again.path == folder.path
    again.close()


def test_what_a_killed_process_left_half_written_is_removed_and_nothing_else(run_small: Run) -> None:
    folder = run_small()
    left = [folder / f".{name}.12345.partial" for name in ("checkpoint.pt", "manifest.json", "error.txt")]
    other = folder / ".notes.12345.partial"
    for path in (*left, other):
        path.write_text("half")
    run_small("force=true")
    assert not any(path.exists() for path in left)
    assert other.exists()


def test_a_ctrl_c_before_a_checkpoint_is_in_place_leaves_nothing_half_written(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace = os.replace

    def interrupted(source: Path, target: Path) -> None:
        if target.name == "checkpoint.pt":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_small("checkpoint_every=0")
    (folder,) = (tmp_path / "results" / "adhoc").iterdir()
    assert manifest_of(folder)["status"] == "interrupted"
    assert not list(folder.glob("*.partial"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"threads": 7}, "note: begun with threads 7, now 1: the last digits may differ"),
        ({"versions": {"torch": "1.0"}}, f"note: begun with torch 1.0, now {torch.__version__.partition('+')[0]}"),
    ],
)
def test_a_run_that_goes_on_elsewhere_says_so(
    change: dict[str, Any], words: str | None, compose: Callable[..., dict[str, Any]]
) -> None:
    raw = compose("method=sgd", "model.widths=[4]", "iterations=20", "eval.every=10", "threads=1")
    folder = run(raw, Console(file=io.StringIO()))
    change_manifest(folder, status="interrupted", **change)
    said = io.StringIO()
    run(raw, Console(file=said, width=200))
    assert "resumed at iteration 20" in said.getvalue()
    assert ("begun with" in said.getvalue()) == (words is not None)
    assert (words or "") in said.getvalue()


def test_a_run_goes_on_with_the_threads_that_it_began_with(
    compose: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("method=sgd", "model.widths=[4]", "iterations=20", "eval.every=10")
    raw = compose(*words, "threads=auto")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = run(raw, Console(file=io.StringIO()))
    monkeypatch.delenv("OMP_NUM_THREADS")
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def goes_on(raw: dict[str, Any], begun: int) -> tuple[str, int]:
        change_manifest(folder, status="interrupted", threads=begun)
        said = io.StringIO()
        run(raw, Console(file=said, width=200))
        return said.getvalue(), manifest_of(folder)["threads"]

    said, used = goes_on(raw, here + 1)
    assert used == here + 1 and f"note: goes on with {here + 1} threads, as it began" in said
    assert "begun with" not in said
    said, used = goes_on(raw, here)
    assert used == here and "goes on with" not in said
    said, used = goes_on(compose(*words, "threads=1"), here + 1)  # chosen
    assert used == 1 and f"begun with threads {here + 1}, now 1" in said
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # chosen too
    assert goes_on(raw, here + 1)[1] == 1
    monkeypatch.setenv(machine.SHARE, "1")  # a sweep's choice, not the user's
    assert goes_on(raw, here + 1)[1] == here + 1
    torch.set_num_threads(1)
