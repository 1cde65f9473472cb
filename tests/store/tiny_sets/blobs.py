"""Three classes around three corners of a cube, made by a rule without random numbers."""

import numpy as np

TASK, CLASSES = "classification", 3


def load(root, part):
    n = np.arange(60 if part == "train" else 20) + (0 if part == "train" else 1000)
    y = n % 3
    x = np.sin(n[:, None] * np.array([1.3, 2.1, 3.7, 4.9]))
    x[np.arange(len(n)), y] += 1.5
    return x, y
