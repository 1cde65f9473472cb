"""The step size η that suits a target, from a dimensionless step h."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bnnbench.check.gradient_noise.base import GradientNoise
from bnnbench.check.sampler import Sampler
from bnnbench.check.simulation import Simulation
from bnnbench.check.target import DOUBLE, Target
from bnnbench.errors import ConfigError

CHAINS, SETTLE, READ = 64, 200, 100


@dataclass(frozen=True)
class Scale:
    """How a rule moves on a target at η = 1 and T = 0.

    Attributes:
        fastest: largest eigenvalue of G J; a step multiplies distances along it by 1 − η fastest.
        slowest: 1 over the largest of N Σ G⁻¹, Σ the posterior's covariance: the smallest of G J on a normal target.
    """

    fastest: float
    slowest: float

    def step_size(self, h: float) -> float:
        """Return η = h / fastest: h = 2 is where the chain diverges."""
        return h / self.fastest

    def relaxation(self, lr: float) -> int:
        """Return the steps in which the slowest direction falls by a factor e."""
        return max(10, round(1 / (lr * self.slowest)))


def scale(sampler: Sampler, target: Target, noise: GradientNoise, seed: int) -> Scale:
    """Measure G of Δθ = −G ∇Ū on fresh draws of the posterior at every step, so that V sees the gradients it will see.

    Raises:
        ConfigError: the rule does not move against the gradient.
    """
    pilot = Simulation(sampler, target, noise, chains=CHAINS, lr=1.0, temperature=0.0, adapt=SETTLE, seed=seed)
    size = len(target.mean)
    products, squares = torch.zeros(size, dtype=DOUBLE), torch.zeros(size, dtype=DOUBLE)
    for number in range(SETTLE + READ):
        with torch.no_grad():
            pilot.theta.copy_(target.draw(CHAINS, pilot.generator))
        before = pilot.theta.detach().clone()
        pilot.step()
        if number >= SETTLE:
            assert pilot.theta.grad is not None
            gradient = (pilot.theta.grad + (target.weight_decay if sampler.has_prior else 0.0) * before).to(DOUBLE)
            products -= ((pilot.theta.detach() - before).to(DOUBLE) * gradient).sum(0)
            squares += gradient.square().sum(0)
    g = products / squares
    if not bool((g > 0).all() and torch.isfinite(g).all()):
        raise ConfigError(
            f"method.optimizer.name={sampler.name}: at T = 0 its steps on {target.name} do not go against the gradient."
        )
    root = g.sqrt()  # the eigenvalues of G J, which is not symmetric, are those of √G J √G
    fastest = torch.linalg.eigvalsh(root[:, None] * target.hessian * root).max()
    widest = torch.linalg.eigvalsh(target.num_data * target.covariance / root / root[:, None]).max()
    return Scale(float(fastest), 1 / float(widest))
