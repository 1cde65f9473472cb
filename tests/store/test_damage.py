"""Damaged folders: a flipped bit is noticed, a run whose files were changed is named, and none hides another."""

from __future__ import annotations

import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.cli import invoke
from support.records import numbers

from bnnbench.errors import BnnbenchError
from bnnbench.store import checkpoint
from bnnbench.store.frame import read_runs
from bnnbench.store.manifest import Manifest

Run = Callable[..., Path]
VERBS = ("ls runs --results results", "compare results", "collect results --out all.csv", "plot results --out f.svg")


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def test_no_flipped_bit_of_a_checkpoint_is_read_as_something_else(run_small: Run) -> None:
    path = run_small("method=psgld") / "checkpoint.pt"
    content, whole = path.read_bytes(), checkpoint.read(path)
    places, found = random.Random(0), 0
    for _ in range(150):
        at, bit = places.randrange(len(content)), places.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        try:
            assert same(checkpoint.read(path), whole), f"bit {bit} of byte {at}"
        except checkpoint.DamagedError:
            found += 1
    assert found > 100  # the others lie in what no reader looks at


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(run_small: Run, capsys: Any) -> None:
    words = ("method=sgld", "epochs=6", "eval.every=14", "members.burn_in=14", "checkpoint_every=0")
    folder = run_small(*words)
    untouched = numbers(folder)
    newest, before = folder / "checkpoint.pt", folder / "checkpoint.previous.pt"
    shutil.copy(newest, before)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 16
    newest.write_bytes(content)
    manifest = Manifest.read(folder)
    manifest["status"] = "running"
    manifest.write(folder)
    assert run_small(*words) == folder
    assert numbers(folder) == untouched


def test_export_says_that_a_checkpoint_is_damaged(run_small: Run, here: Path) -> None:
    folder = run_small("method=sgd", "epochs=1")
    content = bytearray((folder / "checkpoint.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "checkpoint.pt").write_bytes(content)
    refused = invoke("export", str(folder))
    assert refused.exit_code == 1 and "is damaged" in refused.stderr
    assert not (folder / "network.pt").exists()


def with_bom(folder: Path) -> None:
    path = folder / "metrics.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def semicolons(folder: Path) -> None:
    path = folder / "metrics.csv"
    path.write_text(path.read_text().replace(",", ";"))


def half_a_header(folder: Path) -> None:
    (folder / "metrics.csv").write_text("iteration,epo")


def empty_config(folder: Path) -> None:
    (folder / "config.yaml").write_text("")


def latin_config(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_bytes(path.read_text("utf-8").replace("label: ", "label: é", 1).encode("latin-1"))


def lost_config(folder: Path) -> None:
    (folder / "config.yaml").unlink()


def pipe_for_config(folder: Path) -> None:
    lost_config(folder)
    os.mkfifo(folder / "config.yaml")


def aliases(folder: Path) -> None:
    path = folder / "config.yaml"
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12)]
    path.write_text(path.read_text("utf-8") + "\nl0: &l0 [1]\n" + "\n".join(levels) + "\n", "utf-8")


def self_reference(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(path.read_text("utf-8") + "\nself: &self\n  self: *self\n", "utf-8")


def deep_config(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(path.read_text("utf-8") + "\ndeep: " + "[" * 3000 + "]" * 3000 + "\n", "utf-8")


def no_last_row_of_what_predicts(folder: Path) -> None:
    path = folder / "metrics.csv"
    *rows, last = path.read_text().splitlines(keepends=True)
    assert ",current," in last
    path.write_text("".join([*rows, last.replace(",current,", ",posterior,")]))


DAMAGE = (
    with_bom,
    semicolons,
    half_a_header,
    empty_config,
    latin_config,
    lost_config,
    pipe_for_config,
    aliases,
    self_reference,
    deep_config,
    no_last_row_of_what_predicts,
)


@pytest.fixture
def three(run_small: Run, here: Path) -> Callable[[], Path]:
    """Three runs of one method below ``results``; return the folder of the second."""
    folders = [run_small("method=sgd", f"seed={seed}", "epochs=1", f"results={here / 'results'}") for seed in range(3)]
    return folders[1]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_run_is_named_and_hides_no_other(damage: Callable[[Path], None], three: Path, here: Path) -> None:
    damage(three)
    runs, left_out = read_runs("results")
    assert len(runs) == 2
    assert len(left_out) == 1 and three.name in left_out[0] and "\n" not in left_out[0]
    for verb in VERBS if damage in (with_bom, half_a_header, self_reference) else VERBS[:1]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            said = invoke(*verb.split())
        assert said.exit_code == 0, said.stderr
        told = said.stdout + said.stderr + "".join(str(warning.message) for warning in caught)
        assert three.name in told.replace("\n", ""), verb


ODD = {"deep": "[" * 100_000, "lone": "\ud800", "empty": "", "list": "[]", "odd": '{"status": 3}'}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_a_damaged_manifest_is_none(content: str, here: Path) -> None:
    (here / "manifest.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    manifest = Manifest.read(here)
    assert not manifest.finished and not manifest.of_a_run


def test_a_pipe_keeps_no_reader_waiting(here: Path) -> None:
    for name in ("manifest.json", "config.yaml", "metrics.csv"):
        os.mkfifo(here / name)
    assert Manifest.read(here) == {}
    with pytest.raises(BnnbenchError, match="No runs"):
        read_runs(here)
