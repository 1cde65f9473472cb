"""K independent chains of a sampler on a target, as one stacked tensor, and the moments of their law."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bnnbench.check.gradient_noise.base import BATCH, GradientNoise
from bnnbench.check.sampler import Sampler, passes
from bnnbench.check.target import DOUBLE, Target
from bnnbench.config.user_code import called
from bnnbench.errors import DivergedError
from bnnbench.inference.random import CounterNoise, derive_seed

POWERS = (1, 2, 4)
DRAWS = 50  # of each chain in a round
FAR = 1e6  # posterior standard deviations: a chain that far away does not come back


@dataclass(frozen=True)
class Moments:
    """Averages over time and chains of the directions u_i, in units of posterior standard deviations.

    Attributes:
        of_chain: the average of u_i^p of each chain, p = 1, 2, 4: [3, K, d].
        ess: effective draws per gradient, of u_i or u_i², whichever has fewer: the least over i.
    """

    of_chain: Tensor
    ess: float

    def error(self) -> Tensor:
        """Return the standard error of the mean over the independent chains, [3, d]."""
        return standard_error(self.of_chain)


def standard_error(of_chain: Tensor) -> Tensor:
    """Return the standard error of the mean over chains of [3, K, d]: [3, d]."""
    return of_chain.std(1) / math.sqrt(of_chain.shape[1])


class Simulation:
    """Chains that begin as draws of the posterior.

    Args:
        sampler, target, noise: see there.
        chains: K.
        lr: η.
        temperature: T.
        adapt: steps in which the sampler may adapt.
        seed: of all that is random.
    """

    def __init__(
        self,
        sampler: Sampler,
        target: Target,
        noise: GradientNoise,
        *,
        chains: int,
        lr: float,
        temperature: float,
        adapt: int,
        seed: int,
    ) -> None:
        self.sampler, self.target, self.noise, self.chains = sampler, target, noise, chains
        self.generator = torch.Generator().manual_seed(derive_seed(seed, 0, "data"))
        torch.manual_seed(derive_seed(seed, 0, "layers") % 2**32)  # a rule that takes no source of noise uses torch's
        self.source = CounterNoise([derive_seed(seed, k, "noise") for k in range(chains)])
        self.theta = nn.Parameter(target.draw(chains, self.generator).float())
        self.optimizer: Optimizer = sampler.make(
            self.theta,
            lr=lr,
            num_data=target.num_data,
            temperature=temperature,
            weight_decay=target.weight_decay,
            noise=self.source,
            adapt=adapt,
        )
        self.steps = 0
        self._decay_in_loss = 0.0 if sampler.has_prior else target.weight_decay

    def step(self) -> None:
        """Make one step of all chains.

        Raises:
            ConfigError: code of the user's fails.
        """
        target, theta = self.target, self.theta
        index = self.noise.index(target, self.chains, self.steps, self.generator)
        added = self.noise.added(target, self.chains, self.generator)

        def loss() -> Tensor:
            value = target.loss(theta, index).sum()
            if added is not None:
                value = value + (added * theta).sum()
            if self._decay_in_loss:
                value = value + 0.5 * self._decay_in_loss * theta.square().sum()
            return value

        self.source.begin(self.steps)
        with called(f"method.optimizer.name={self.sampler.name}: step()"):
            if getattr(self.optimizer, "needs_closure", False):
                self.optimizer.step(loss)  # type: ignore[arg-type] # it differentiates the loss itself
            else:
                theta.grad = None
                loss().backward()
                self.optimizer.step()
        self.steps += 1

    def forget(self, steps: int) -> None:
        """Make steps whose states count for nothing.

        Raises:
            DivergedError: a chain has left.
        """
        for number in range(steps):
            self.step()
            if number % 100 == 0 or number == steps - 1:
                self._watch()

    def measure(self, relaxation: int, rounds: int, enough: float) -> Moments:
        """Return moments, from rounds of ten times `relaxation` steps until their errors are at most `enough`.

        Args:
            relaxation: steps in which the slowest direction forgets most of where it was.
            rounds: at most.
            enough: standard error of the first two moments; of the fourth, if the noise has a shape, over 3 σ⁴.

        Raises:
            DivergedError: a chain has left.
        """
        thin, epoch = math.ceil(10 * relaxation / DRAWS), self.target.num_data // BATCH
        while math.gcd(thin, epoch) > 1:  # draws fall on every step of an epoch alike: its law changes along it
            thin += 1
        sums = torch.zeros(len(POWERS), self.chains, len(self.target.mean), dtype=DOUBLE)
        squares = torch.zeros_like(sums[:, 0])
        count = 0
        for _ in range(rounds):
            for _ in range(DRAWS):
                for _ in range(thin):
                    self.step()
                u = self.target.coordinates(self.theta)
                terms = torch.stack([u**power for power in POWERS])
                sums += terms
                squares += terms.square().mean(1)
                count += 1
                self._watch()
            of_chain = sums / count
            error, value = standard_error(of_chain), of_chain.mean(1)
            if self.noise.excess is None:
                close = error[:2] <= enough
            else:  # the fourth moment, which is near 3 squares of the variance
                close = error / torch.stack([unit := torch.ones_like(error[0]), unit, 3 * value[1] ** 2]) <= enough
            if close.all():
                break
        return Moments(of_chain, self._ess(of_chain, squares / count, count * thin))

    def _ess(self, of_chain: Tensor, square: Tensor, steps: int) -> float:
        """Return (variance of a draw / variance of a chain's average) / gradients of a chain, for u and u²."""
        variance = square - of_chain.mean(1).square()
        draws = variance[:2] / of_chain[:2].var(1).clamp_min(1e-300)
        return float(draws.min()) / (steps * passes(self.optimizer, self.chains))

    def _watch(self) -> None:
        u = self.target.coordinates(self.theta)
        if not bool((u.abs() < FAR).all()):
            raise DivergedError(f"diverged within {self.steps} steps")
