"""Kuzushiji-MNIST (Clanuwat et al. 2018): 60 000 train and 10 000 test images of cursive Japanese characters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnnbench.data.files import idx
from bnnbench.data.files.idx import IdxSet

TASK = "classification"
CLASSES = 10
_SET = IdxSet("kmnist", "KMNIST")  # only its gzipped files have published checksums, and fetch checks those


def load(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return raw images, uint8 [n, 1, 28, 28] in 0…255, and labels, uint8 [n]."""
    return idx.load(root, part, _SET)


def fetch(root: Path) -> None:
    """Download the four files to ``<root>/KMNIST/raw``."""
    idx.fetch(root, _SET)


def verify(root: Path) -> list[str]:
    """Check the files that are there; see `idx.verify`."""
    return idx.verify(root, _SET)
