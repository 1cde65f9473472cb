"""Digits: 1797 images of 8×8 pixels in 17 grey levels, shipped with scikit-learn; for trying things out.

The 80/20 split is stratified and fixed: it depends on no seed of a run.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from bnnbench.data.loading.splits import stratified
from bnnbench.errors import DataError

TASK = "classification"
CLASSES = 10
TRAIN_FRACTION = 0.8
SHA256 = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"  # of the pixels, uint8


def load(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return raw images, float64 [n, 1, 8, 8] in 0…16, and labels, int64 [n]; `root` is not used."""
    x, y = _read()
    train, test = stratified(y, TRAIN_FRACTION)
    chosen = train if part == "train" else test
    return x[chosen].reshape(-1, 1, 8, 8), y[chosen]


def verify(root: Path) -> list[str]:
    """Check that scikit-learn ships the pixels that this benchmark was made with."""
    pixels = _read()[0].astype(np.uint8)
    found = hashlib.sha256(pixels.tobytes()).hexdigest()
    if found != SHA256:
        raise DataError(f"digits: scikit-learn's pixels {pixels.shape} have sha256 {found}, {SHA256} expected.")
    return [f"{len(pixels)} images of 8×8 shipped with scikit-learn, sha256 as expected"]


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels [1797, 64] and labels [1797] from the file inside scikit-learn.

    Importing scikit-learn for one small file would be a fifth of the time from the command to the first step.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package.submodule_search_locations or []) if package else []:
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # a version that stores it elsewhere

    return load_digits(return_X_y=True)
