"""Exact laws of the DISCRETE chains that the samplers must follow, and the comparison within Monte-Carlo error.

Target: N(0, T/λ) by the potential U(x) = λx²/2. In the notation ε = 2η/N the chain is

    x' = x − (ε/2) G (λ x + e) + √(ε G T) ξ,    Var e = c (minibatch noise of the summed gradient)

whose stationary variance is (T + ε G c/4) / (λ (1 − ε G λ/4)): no error of the step size is left in the comparison, so
that a factor 2 or N anywhere shows.
"""

from __future__ import annotations

import math

import numpy as np

K = 4.5  # standard errors; a right sampler fails one comparison in 150 000


def stationary_variance(epsilon: float, precision: float, temperature: float, c: float = 0.0, g: float = 1.0) -> float:
    """Return the stationary variance of the chain above."""
    step = epsilon * g
    return (temperature + step * c / 4) / (precision * (1 - step * precision / 4))


def assert_gaussian_sample(x: np.ndarray, mean: float, variance: float) -> None:
    """Assert that independent draws have the mean, the variance and the kurtosis of N(mean, variance)."""
    n = x.size
    assert abs(x.mean() - mean) < K * math.sqrt(variance / n)
    assert abs(x.var() / variance - 1) < K * math.sqrt(2 / n)
    fourth = (((x - mean) ** 2 / variance) ** 2).mean()
    assert abs(fourth - 3) < K * math.sqrt(96 / n)


class GridLaw:
    """The stationary law of a chain x' ~ N(m(x), s²(x)) on the line, from its transition kernel on a grid.

    Independent of the sampler's code: only the printed update enters, as the functions m and s.
    """

    def __init__(self, m: np.ndarray, s: np.ndarray, grid: np.ndarray) -> None:
        self.grid = grid
        kernel = np.exp(-0.5 * ((grid[None, :] - m[:, None]) / s[:, None]) ** 2) / s[:, None]
        kernel /= kernel.sum(1, keepdims=True)
        # law @ kernel = law and sum(law) = 1 in one: law @ (I − kernel + 1 1ᵀ) = 1ᵀ
        self.law = np.linalg.solve((np.eye(len(grid)) - kernel + 1).T, np.ones(len(grid)))

    def moment(self, power: int) -> float:
        """Return E|x|^power."""
        return float((np.abs(self.grid) ** power * self.law).sum())

    def assert_sample(self, x: np.ndarray) -> None:
        """Assert that independent draws have the law's E|x| and E x²."""
        for power in (1, 2):
            expected = self.moment(power)
            error = math.sqrt((self.moment(2 * power) - expected**2) / x.size)
            assert abs((np.abs(x) ** power).mean() - expected) < K * error
