"""MNIST (LeCun et al. 1998): 60 000 train and 10 000 test images of handwritten digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnnbench.data.files import idx
from bnnbench.data.files.idx import IdxSet

TASK = "classification"
CLASSES = 10
_SET = IdxSet(
    "mnist",
    "MNIST",
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)


def load(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return raw images, uint8 [n, 1, 28, 28] in 0…255, and labels, uint8 [n]."""
    return idx.load(root, part, _SET)


def fetch(root: Path) -> None:
    """Download the four files to ``<root>/MNIST/raw``."""
    idx.fetch(root, _SET)


def verify(root: Path) -> list[str]:
    """Check the files that are there; see `idx.verify`."""
    return idx.verify(root, _SET)
