"""What readers really return: every kind of array is read as its numbers, or refused in a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bnnbench.data.files.root import data_root
from bnnbench.data.files.uci import load
from bnnbench.data.loading.arrays import as_tensor
from bnnbench.errors import ConfigError, DataError

X = np.arange(12.0).reshape(4, 3)
SPARSE = torch.tensor(X).to_sparse()
READ: dict[str, Any] = {
    "list": X.tolist(),
    "big endian": X.astype(">f8"),
    "negative strides": X[::-1][::-1],
    "Fortran order": np.asfortranarray(X),
    "read only": np.frombuffer(X.tobytes()).reshape(4, 3),
    "frame": pd.DataFrame(X, index=list("abcd")),
    "mixed frame": pd.DataFrame({"a": X[:, 0].astype(int), "b": X[:, 1], "c": X[:, 2].astype("float32")}),
    "nullable frame": pd.DataFrame(X).convert_dtypes(),
    "longdouble": X.astype(np.longdouble),
    "masked, none of it": np.ma.masked_array(X, mask=False),
    "graph": torch.tensor(X, requires_grad=True) * 1,
    "sparse tensor": SPARSE,
    **{name: X.astype(name) for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int64", "float16", "float32")},
}
REFUSED: dict[str, Any] = {
    "words": np.array([["a", "b"]]),
    "dates": np.array([["2026-01-01"]], dtype="datetime64[D]"),
    "ragged": [[1, 2], [3]],
    "objects": np.array([[object()]]),
    "masked": np.ma.masked_array(X, mask=X > 5),
    "too large": np.array([[2**64 - 1]], dtype=np.uint64),
    "none": None,
}


@pytest.mark.parametrize("kind", READ)
def test_numbers_are_read(kind: str) -> None:
    read = as_tensor(READ[kind], "x")
    assert torch.equal(read.double(), torch.tensor(X))
    assert not read.requires_grad and read.is_contiguous()


def test_a_missing_value_is_no_number() -> None:
    assert as_tensor(pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), "x").isnan().tolist() == [[False], [True]]


def test_a_sparse_matrix_is_read() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    assert torch.equal(as_tensor(sparse.csr_matrix(X), "x"), torch.tensor(X))


def test_series_are_read_by_position() -> None:
    assert as_tensor(pd.Series([1, 0, 1], index=[7, 5, 6]), "y").tolist() == [1, 0, 1]


@pytest.mark.parametrize("original", [X.copy(), torch.tensor(X), pd.DataFrame(X)])
def test_the_copy_is_its_own(original: Any) -> None:
    as_tensor(original, "x").zero_()
    assert np.asarray(original).sum() == X.sum()


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_number_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match=r"^mine: x ") as refused:
        as_tensor(REFUSED[kind], "mine: x")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(("leak", "words"), [("rows", "10 rows, such as 40"), ("target", "column 3 is the target")])
def test_a_table_that_gives_its_answers_away_is_refused(leak: str, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "uci" / "yacht"
    folder.mkdir(parents=True)
    np.savetxt(folder / "data.txt", np.random.default_rng(0).normal(size=(60, 4)))
    files = {"index_train_0": range(50), "index_test_0": range(50, 60), "index_features": range(3), "index_target": [3]}
    for name, numbers in files.items():
        np.savetxt(folder / f"{name}.txt", list(numbers), fmt="%d")
    assert load(tmp_path, "test", 0, name="yacht", folder="yacht")[0].shape == (10, 3)
    if leak == "rows":
        np.savetxt(folder / "index_test_0.txt", range(40, 50), fmt="%d")
    else:
        np.savetxt(folder / "index_features.txt", range(4), fmt="%d")
    for part in ("train", "test"):
        with pytest.raises(DataError, match=words):
            load(tmp_path, part, 0, name="yacht", folder="yacht")


def test_a_user_without_a_home_has_a_place_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("BNNBENCH_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert data_root().is_absolute()


@pytest.mark.parametrize("where", ["option", "variable"])
def test_the_home_of_nobody_is_refused(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"~no_such_user_{os.getpid()}/x"
    monkeypatch.setenv("BNNBENCH_DATA", place)
    with pytest.raises(ConfigError, match="unknown user"):
        data_root(place if where == "option" else None)
