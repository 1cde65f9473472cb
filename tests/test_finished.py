"""A finished run is told from its record alone only where nothing is left to check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.configurations import QUICK
from support.records import change_manifest

from bnnbench.experiment.finished import as_recorded, finished_before
from bnnbench.store import sources


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, run_small_into: Callable[..., Path]) -> tuple[Path, str, str]:
    folder = run_small_into(tmp_path_factory.mktemp("finished") / "results", *QUICK[1:], "method=sgd")
    return folder, (folder / "manifest.json").read_text(), (folder / "config.yaml").read_text()


@pytest.fixture
def run(recorded: tuple[Path, str, str]) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a finished run as it was left, and its configuration."""
    import yaml

    folder, manifest, config = recorded
    (folder / "manifest.json").write_text(manifest)
    (folder / "config.yaml").write_text(config)
    return folder, yaml.safe_load(config)


def test_the_record_of_this_very_configuration(run: tuple[Path, dict[str, Any]]) -> None:
    folder, raw = run
    assert finished_before(raw) == folder
    assert finished_before({**raw, "chosen": None}) == folder


def test_a_run_that_was_forced_is_finished_like_any_other(run: tuple[Path, dict[str, Any]]) -> None:
    folder, raw = run
    (folder / "config.yaml").write_text(as_recorded({**raw, "force": True}))
    assert finished_before(raw) == folder


@pytest.mark.parametrize(
    "change",
    [
        {"force": True},
        {"eval": {"every": -1}},  # wrong, which somebody has to say
        {"seed": 1},
        {"threads": 2},  # without effect on the numbers, but not to the letter what was checked
        {"chosen": {"settings": {}}},
        {"model": {"name": "nets.wide"}},
    ],
    ids=str,
)
def test_another_configuration(run: tuple[Path, dict[str, Any]], change: dict[str, Any]) -> None:
    raw = run[1]
    changed = {k: {**raw[k], **v} if isinstance(raw.get(k), dict) else v for k, v in change.items()}
    assert finished_before({**raw, **changed}) is None


@pytest.mark.parametrize(
    "facts", [{"status": "failed"}, {"versions": {"bnnbench": "0.0.1"}}, {"versions": 1}, {"schema": 99}]
)
def test_another_record(run: tuple[Path, dict[str, Any]], facts: dict[str, Any]) -> None:
    folder, raw = run
    change_manifest(folder, **facts)
    assert finished_before(raw) is None


def test_a_changed_config_file(run: tuple[Path, dict[str, Any]]) -> None:
    folder, raw = run
    with (folder / "config.yaml").open("a") as file:
        file.write("more: 1\n")
    assert finished_before(raw) is None


def test_changed_sources(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, raw = run
    data = tmp_path / "data.csv"
    data.write_text("1\n")
    change_manifest(folder, sources=sources.record([str(data)], [], tmp_path / "elsewhere"))
    assert finished_before(raw) == folder
    data.write_text("12\n")
    assert finished_before(raw) is None
