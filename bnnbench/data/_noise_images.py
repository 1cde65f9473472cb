"""Noise of MNIST's shape, ``dataset.name=bnnbench.data._noise_images``: to time a step where MNIST is not at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TASK = "classification"
CLASSES = 10


def load(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 [n, 28, 28], and labels, int64 [n], without any meaning; `root` is not used."""
    count = 60_000 if part == "train" else 10_000
    generator = np.random.default_rng(count)
    return generator.integers(0, 256, (count, 28, 28), np.uint8), generator.integers(0, CLASSES, count)
