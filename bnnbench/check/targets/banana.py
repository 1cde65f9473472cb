"""A normal density bent along a parabola (Haario, Saksman & Tamminen 1999)."""

from __future__ import annotations

from torch import Tensor

from bnnbench.check.targets._plane import Plane


class Banana(Plane):
    """θ₁ ~ N(0, 1), θ₂ | θ₁ ~ N(b (θ₁² − 1), s²) with b = ½, s = ½."""

    name = "banana"
    slow = True
    bend, width = 0.5, 0.5  # b, s

    def __init__(self) -> None:
        super().__init__((-6.0, -4.0), (6.0, 16.0))

    def potential(self, theta: Tensor) -> Tensor:
        """Return θ₁²/2 + (θ₂ − b (θ₁² − 1))²/(2 s²), [K]."""
        first, second = theta.unbind(1)
        return first**2 / 2 + (second - self.bend * (first**2 - 1)) ** 2 / (2 * self.width**2)
