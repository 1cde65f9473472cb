"""The gradient of all data."""

from __future__ import annotations

from bnnbench.check.gradient_noise.base import GradientNoise


class NoNoise(GradientNoise):
    """Every step sees all N data."""

    name = "none"
    noisy = False
