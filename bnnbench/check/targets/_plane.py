"""Posteriors in the plane that are not normal: their moments and draws by quadrature on a fine grid."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from bnnbench.check.target import DOUBLE, Target

CELLS = 300  # of the grid, along each axis


class Plane(Target):
    """p(θ) ∝ exp(−U(θ)) on a rectangle outside which nothing is left, d = 2.

    The mean Hessian of Ū is E ∇U ∇Uᵀ / N, by integration by parts.

    Args:
        low, high: corners of the rectangle.
    """

    linear = False

    def __init__(self, low: tuple[float, float], high: tuple[float, float]) -> None:
        axes = [torch.linspace(a, b, CELLS, dtype=DOUBLE) for a, b in zip(low, high, strict=True)]
        self._grid = torch.cartesian_prod(*axes).requires_grad_()
        self._cell = torch.stack([axis[1] - axis[0] for axis in axes])
        potential = self.potential(self._grid)
        (gradient,) = torch.autograd.grad(potential.sum(), self._grid)
        self._grid = self._grid.detach()
        self._potential = potential.detach()
        self._mass = torch.softmax(-self._potential, 0)
        self.mean = self._mass @ self._grid
        away = self._grid - self.mean
        self.covariance = (away * self._mass[:, None]).T @ away
        self.hessian = (gradient * self._mass[:, None]).T @ gradient / self.num_data

    @abstractmethod
    def potential(self, theta: Tensor) -> Tensor:
        """Return U = N Ū with the prior, up to a constant: [K, 2] → [K], in the precision of θ."""

    def loss(self, theta: Tensor, index: Tensor | None) -> Tensor:
        """Return U/N less the prior that goes to the sampler as weight decay, [K]; of all data alone."""
        assert index is None, "minibatches of a target that is not normal have no law to compare with"
        return self.potential(theta) / self.num_data - 0.5 * self.weight_decay * theta.square().sum(1)

    def posterior_moments(self, temperature: float) -> tuple[Tensor, Tensor]:
        """Return mean and second moment [2] of the directions under exp(−U/T)."""
        if temperature == 0:
            u = self.coordinates(self._grid[self._potential.argmin()])
            return u, u.square()
        mass, u = torch.softmax(-self._potential / temperature, 0), self.coordinates(self._grid)
        return mass @ u, mass @ u.square()

    def draw(self, chains: int, generator: torch.Generator) -> Tensor:
        """Return draws of the posterior, [K, 2]: a cell, and a place in it."""
        at = torch.searchsorted(self._mass.cumsum(0), torch.rand(chains, generator=generator, dtype=DOUBLE))
        place = torch.rand(chains, 2, generator=generator, dtype=DOUBLE) - 0.5
        return self._grid[at.clamp(max=len(self._grid) - 1)] + place * self._cell
