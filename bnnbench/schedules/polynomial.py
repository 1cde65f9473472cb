"""ε_t = a (b + t)^−γ (Welling & Teh 2011, section 2), written as ε_t = lr (1 + t/b)^−γ, with a = lr·b^γ."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt


def factor(
    iteration: int,
    *,
    iterations: int,
    steps_per_epoch: float,
    b: Annotated[float, Gt(0)],
    power: Annotated[float, Gt(0)],
) -> float:
    """Return (1 + t/b)^−γ.

    Args:
        b: iterations after which the step has fallen to 2^−γ.
        power: γ; SGLD converges for ½ < γ ≤ 1. To end at a fraction r of lr, b = T / (r^(−1/γ) − 1).
    """
    return (1 + iteration / b) ** -power


def convergence(*, b: float, power: float) -> str | None:
    """Return None for ½ < γ ≤ 1; otherwise say which of the two sums breaks."""
    if power <= 0.5:
        return f"The step falls as t^−{power:g}, too slowly (γ ≤ ½): Σε² diverges, the bias may not die out."
    if power > 1:
        return f"The step falls as t^−{power:g}, too fast (γ > 1): Σε is finite, the chain freezes."
    return None
