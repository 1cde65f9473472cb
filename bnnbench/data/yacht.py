"""Yacht hydrodynamics (UCI regression): 308 rows, 6 features; target: residuary resistance per unit weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnnbench.data.files import uci
from bnnbench.data.files.uci import SplitIndex

TASK = "regression"
CLASSES = None
FOLDER = "yacht"


def load(root: Path, part: str, split: SplitIndex = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features, float64 [n, 6], and targets, float64 [n], of one of the 20 standard splits."""
    return uci.load(root, part, split, name="yacht", folder=FOLDER)


def fetch(root: Path) -> None:
    """Download the table and its splits."""
    uci.fetch(root, name="yacht", folder=FOLDER)


def verify(root: Path) -> list[str]:
    """Check the sha256 of all files."""
    return uci.verify(root, name="yacht", folder=FOLDER)
