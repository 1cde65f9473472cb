"""Preprocessing with statistics of the training split alone, applied to every split and to out-of-distribution sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Center = Literal["none", "mean_image", "standardise"]


@dataclass(frozen=True)
class Preprocess:
    """``(x / divide − mean) / std``, feature by feature.

    Attributes:
        divide: applied first, as papers divide pixels by 255, 256 or 126.
        mean, std: [*in_shape], or None where not asked for.
    """

    divide: float
    mean: Tensor | None = None
    std: Tensor | None = None

    @classmethod
    def fit(cls, x: Tensor, divide: float, center: Center) -> Preprocess:
        """Compute the statistics of raw training inputs `x` [n, *in_shape].

        ``mean_image`` subtracts each feature's mean; ``standardise`` also divides by its standard deviation (of the
        population, 1/n), or by 1 where the feature is constant.
        """
        if center == "none":
            return cls(divide)
        x = _copy(x).div_(divide)
        if center == "mean_image":
            return cls(divide, mean=x.mean(dim=0))
        std, mean = torch.std_mean(x, dim=0, correction=0)
        # A constant such as 0.1 has a computed std of about 1e-17 rather than 0: compare the values themselves.
        constant = x.amin(dim=0) == x.amax(dim=0)
        return cls(divide, mean=mean, std=torch.where(constant, torch.ones_like(std), std))

    def __call__(self, x: Tensor) -> Tensor:
        """Return float32 [n, *in_shape] from raw inputs of the same shape."""
        x = _copy(x).div_(self.divide)
        if self.mean is not None:
            x = x.sub_(self.mean)
        if self.std is not None:
            x = x.div_(self.std)
        return x.float()


def _copy(x: Tensor) -> Tensor:
    """Return a floating-point copy, to be changed in place; float64 columns of a table keep their precision here.

    Integers that float32 cannot tell apart, such as times in seconds, become float64; pixels stay small.
    """
    if x.is_floating_point():
        return x.clone()
    return x.double() if x.dtype.itemsize > 2 else x.float()
