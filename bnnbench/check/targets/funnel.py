"""Neal's funnel, a milder one: the scale of one parameter is another (Neal 2003, section 8)."""

from __future__ import annotations

from torch import Tensor

from bnnbench.check.targets._plane import Plane


class Funnel(Plane):
    """θ₁ ~ N(0, s²), θ₂ | θ₁ ~ N(0, e^θ₁) with s = ½; Neal has s = 3, whose neck no constant step size enters."""

    name = "funnel"
    slow = True
    spread = 0.5  # s

    def __init__(self) -> None:
        super().__init__((-3.0, -14.0), (3.0, 14.0))

    def potential(self, theta: Tensor) -> Tensor:
        """Return θ₁²/(2 s²) + θ₂² e^−θ₁/2 + θ₁/2, [K]."""
        first, second = theta.unbind(1)
        return first**2 / (2 * self.spread**2) + second**2 * (-first).exp() / 2 + first / 2
