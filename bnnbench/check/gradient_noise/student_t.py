"""Gradient noise with polynomial tails."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.check.gradient_noise._shaped import Shaped


class StudentT(Shaped):
    """z ~ t_ν √((ν − 2)/ν), ν = 10: variance 1, excess kurtosis 6/(ν − 4) = 1, and an eighth moment."""

    name = "student_t"
    degrees = 10  # ν
    excess = 6 / (degrees - 4)

    def standardised(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return a normal over the root of an independent χ²_ν/(ν − 2)."""
        normals = torch.randn(self.degrees + 1, *shape, generator=generator)
        return normals[0] / (normals[1:].square().sum(0) / (self.degrees - 2)).sqrt()
