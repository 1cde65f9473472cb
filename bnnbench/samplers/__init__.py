"""Stochastic-gradient samplers, each a ``torch.optim.Optimizer`` that works alone in any training loop.

One file per sampler, found by its name; SGD, RMSprop, Adam and the like are torch's own. The common convention
(potential Ū per datum, step size η, temperature T, number of data N):

    θ ← θ − η [G ∇Ū − (T/N) Γ] + √(2 η T G / N) ξ,    ξ ~ N(0, I)

In the papers' notation ε = 2η/N. T = 1 samples the posterior, T = 0 is the optimiser of the same drift.
"""

from bnnbench.samplers.psgld import PSGLD
from bnnbench.samplers.sgld import SGLD

__all__ = ["PSGLD", "SGLD"]
