"""The draw of the local reparameterisation, y = γ + √δ ⊙ ε, as a function of γ, δ and ε."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.layers.fused.ops import Op, fused
from bnnbench.layers.noise import standard_normal

FLOOR = 1e-16  # of a variance under a root: the root of exactly 0 has an infinite slope, and ∞ · 0 would be NaN


def normal(mean: Tensor, variance: Tensor, floor: float = FLOOR) -> Tensor:
    """Return mean + √variance ⊙ ε with ε ~ N(0, I), differentiable in both.

    Fast convolutions may return −1e-10 for a variance of 0; up to the floor it has no slope.

    Args:
        mean: γ, of any shape.
        variance: δ, of the same shape.
        floor: least variance under the root, > 0.
    """
    return fused(_normal(floor), mean, variance, standard_normal(mean))


def _normal(floor: float) -> Op:
    def plain(mean: Tensor, variance: Tensor, epsilon: Tensor) -> Tensor:
        return mean + variance.clamp_min(floor).sqrt() * epsilon

    def value(mean: Tensor, variance: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        std = variance.clamp_min(floor).sqrt_()
        return torch.addcmul(mean, std, epsilon), std

    def grads(
        grad: Tensor, mean: Tensor, variance: Tensor, epsilon: Tensor, _: Tensor, std: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        slope = (grad * epsilon).div_(std).mul_(0.5)
        return grad, torch.ops.aten.threshold_backward(slope, variance, floor), None  # 0 up to the floor

    return Op(plain, value, grads)
