"""a9a (LIBSVM's version of Adult, Platt 1999): 32 561 train and 16 281 test rows, 123 binary features, 2 classes.

Files ``a9a`` and ``a9a.t`` in ``<root>/libsvm``, in LIBSVM's text format: ``<label> <index>:<value> …``, index from 1.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from bnnbench.data.files.checksum import Checksum
from bnnbench.data.files.download import addresses, download, place, staging
from bnnbench.data.files.root import broken, find_file
from bnnbench.data.files.verify import verify_files

TASK = "classification"
CLASSES = 2
FEATURES = 123  # the test file happens to use 122 of them
FILES = {"train": "a9a", "test": "a9a.t"}
BASE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary"
SHA256 = {
    "a9a": Checksum("sha256", "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906"),
    "a9a.t": Checksum("sha256", "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9"),
}


def load(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features, float32 [n, 123], and labels, int64 [n]: 1 where the file says +1 (income above 50 000 $).

    Raises:
        DataError: the file is missing, truncated or not in LIBSVM's format.
    """
    path = find_file("a9a", root / "libsvm", [FILES[part]])
    text = path.read_bytes()
    lines = text.splitlines()
    if not text.endswith(b"\n"):
        raise broken("a9a", path, f"the file ends in the middle of line {len(lines)}: truncated.")
    x = np.zeros((len(lines), FEATURES), dtype=np.float32)
    y = np.zeros(len(lines), dtype=np.int64)
    for row, line in enumerate(lines):
        try:
            label, *pairs = line.split()
            y[row] = {b"-1": 0, b"+1": 1, b"1": 1}[label]
            for pair in pairs:
                index, value = pair.split(b":")
                if not 1 <= int(index) <= FEATURES:
                    raise ValueError
                x[row, int(index) - 1] = float(value)
        except (ValueError, KeyError):
            expected = f"'±1 index:value …' with index 1…{FEATURES} expected"
            found = f"'{line[:60].decode(errors='replace')}' found"
            raise broken("a9a", path, f"line {row + 1}: {expected}, {found}.") from None
    return x, y


def fetch(root: Path) -> None:
    """Download both files (3.5 MB) to ``<root>/libsvm``."""
    with staging(root) as staged:
        for file, checksum in SHA256.items():
            target = root / "libsvm" / file
            if not target.is_file() or checksum.problem(target):
                place(download(addresses([BASE], "libsvm", file), staged, checksum, name="a9a"), target)


def verify(root: Path) -> list[str]:
    """Check the sha256 of the files that are there."""
    checks = {file: partial(checksum.check, name="a9a") for file, checksum in SHA256.items()}
    return verify_files("a9a", root / "libsvm", checks)
