"""Runs are read as columns; the frames made of them are what pandas makes of each run by itself."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bnnbench.errors import BnnbenchError
from bnnbench.store import frame as frames
from bnnbench.store.frame import load_run

HEADER = ",".join(frames.COLUMNS)
BASE = {"seed": 0, "dataset": {"name": "mnist"}, "model": {"name": "mlp"}, "method": {"name": "sgd"}}


def write(folder: Path, rows: int, config: dict[str, Any], extra: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**BASE, **config}, sort_keys=False))
    (folder / "manifest.json").write_text('{"status": "running"}')
    cells = {"chain": "0", "split": "test", "predictor": "current", "error": "0.5"}
    lines = [",".join(str({**cells, "iteration": n}.get(c, "")) for c in frames.COLUMNS) for n in range(rows)]
    if extra:
        lines = [line + f",{number}" for number, line in enumerate(lines)]
    (folder / "metrics.csv").write_text("\n".join([HEADER + (f",{extra}" if extra else ""), *lines]) + "\n")
    return folder


def by_pandas(runs: list[frames.Run], keys: list[str]) -> pd.DataFrame:
    """Return the frame of `runs` as one concatenation of each run's own, some settings before its rows."""
    each = []
    for run in runs:
        about = pd.DataFrame([{key: run.settings.get(key) for key in keys}] * run.rows, columns=keys)
        each.append(pd.concat([about, run.metrics], axis=1))
    return pd.concat(each, ignore_index=True)


@pytest.mark.parametrize(
    "values",
    [(1, 2), (1, 2.5), (0.5, 2.5), ("a", "b"), (True, False), (True, 2), (1, "a"), (None, 1), (2**70, 1), (None, "a")],
    ids=str,
)
def test_a_frame_has_the_types_that_pandas_gives_it(tmp_path: Path, values: tuple[Any, Any]) -> None:
    runs = [load_run(write(tmp_path / f"{n}", 2 + n, {"swept": v})) for n, v in enumerate(values)]
    found = frames.frame(runs)
    pd.testing.assert_frame_equal(found[["swept", *frames.COLUMNS]], by_pandas(runs, ["swept"]))


def test_columns_that_some_runs_lack(tmp_path: Path) -> None:
    runs = [load_run(write(tmp_path / name, 3, {}, extra)) for name, extra in (("a", ""), ("b", "mine"), ("c", "mine"))]
    found = frames.frame(runs)
    assert found["mine"].isna().tolist() == [True] * 3 + [False] * 6
    assert found["mine"].dropna().tolist() == ["0", "1", "2"] * 2


def test_runs_without_rows_leave_the_types_of_others_alone(tmp_path: Path) -> None:
    empty, full = load_run(write(tmp_path / "a", 0, {})), load_run(write(tmp_path / "b", 2, {"seed": 1}))
    pd.testing.assert_frame_equal(
        frames.frame([empty, full]).drop(columns="seed"), frames.frame([full]).drop(columns="seed")
    )
    assert frames.frame([empty]).empty
    assert list(frames.frame([empty])) == list(frames.frame([full]))


TEXTS = [
    "seed: 1\ndataset: {name: a}\nmodel:\n  name: b\nmethod:\n- 1\n- 2\n",
    "seed: 1\nseed: 2\ndataset: a\nmodel: b\nmethod: c\n",
    "# head\n\nseed: 5e-4\ndataset: |\n  model: x\n\n  y\nmodel: 'it\n\n  goes on'\nmethod: c\n",
    "seed: 'a\nmodel: b\n  c'\ndataset: a\nmethod: c\n",
    "dataset: a\nmodel: {b: 1,\nmethod: 2}\nmethod: c\n",
    "'seed': 1\ndataset: a\nmodel: b\nmethod: c\n'odd': 2\n",
    "dataset: a\nmodel: b\nmethod: c\n...\nseed: 1\n",
    "dataset: a\n---\nmodel: b\nmethod: c\n",
    "dataset: a\nmodel: b\nmethod: [c\n",
    "dataset:\nmodel: ''\nmethod: c\n",
    'dataset: "a\\e[31m"\nmodel: b\nmethod: c\n',
]


@pytest.mark.parametrize(("text", "again"), list(itertools.product(TEXTS, (False, True))))
def test_sections_parsed_by_themselves_are_what_the_whole_file_says(text: str, again: bool) -> None:
    def result(parse: Any) -> Any:
        try:
            return parse(text)
        except yaml.YAMLError as error:
            return " ".join(str(error).split())

    whole = result(lambda given: frames._visible(yaml.load(given, Loader=frames._Loader)))
    assert result(frames._parsed) == whole
    if isinstance(whole, dict) and again:
        assert list(frames._parsed(text)) == list(whole)


def test_a_run_read_twice_shares_nothing_that_can_be_changed(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", 1, {})
    load_run(folder).config["dataset"]["name"] = "changed"
    assert load_run(folder).config["dataset"]["name"] == "mnist"


def test_a_row_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", 3, {})
    lines = (folder / "metrics.csv").read_text().splitlines()
    (folder / "metrics.csv").write_text("\n".join([lines[0], lines[1] + ",1", *lines[2:]]) + "\n")
    with pytest.raises(BnnbenchError, match=r"not a metrics\.csv of bnnbench: row 1 has \d+ cells, not \d+"):
        load_run(folder)
