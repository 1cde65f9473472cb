"""A plane with noise that grows with the first input, made by a rule without random numbers."""

import numpy as np

TASK, CLASSES = "regression", None


def load(root, part):
    n = np.arange(60 if part == "train" else 20) + (0 if part == "train" else 1000)
    x = np.sin(n[:, None] * np.array([1.3, 2.1, 3.7]))
    return x, 50 + 20 * (x @ np.array([1.0, -2.0, 0.5]) + (0.5 + 0.4 * x[:, 0]) * np.sin(n * 7.7))
