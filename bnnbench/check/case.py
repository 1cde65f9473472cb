"""One setting of a sampler: its chains, their moments, the rows of the table."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bnnbench.check import law
from bnnbench.check.gradient_noise.base import GradientNoise
from bnnbench.check.sampler import Sampler
from bnnbench.check.simulation import Moments, Simulation, standard_error
from bnnbench.check.step_size import scale
from bnnbench.check.table import Row
from bnnbench.check.target import DOUBLE, Target
from bnnbench.check.verdict import FAIL, UNRESOLVED, judge
from bnnbench.errors import BnnbenchError, DivergedError

SMALL = 0.1  # h up to which a chain is compared with the posterior itself, for want of a law
CHAINS, FEWEST = 1024, 64
LONGEST = 3000  # steps of relaxation
ROUNDS = 16  # of measurement, at most
RELAXATIONS = 10  # after which nothing of the start is left: e^−10 of a displacement
ADAPT = 400  # steps at least: a rule may remember gradients for longer than a parameter its start
ENOUGH = 0.015  # standard error that is aimed at
ROUNDING = 1e-4  # posterior standard deviations (variances) that single precision may be off
KINDS = ("mean", "variance", "kurtosis")


@dataclass(frozen=True)
class Case:
    """A setting.

    Attributes:
        target, noise: see there.
        temperature: T.
        h: dimensionless step, η times the largest eigenvalue of G J; below 2 the chain is stable.
        chains: K.
        longest: relaxation in steps beyond which nothing is run.
        rounds: of measurement, at most.
    """

    target: Target
    noise: GradientNoise
    temperature: float
    h: float
    chains: int = CHAINS
    longest: int = LONGEST
    rounds: int = ROUNDS


def run(case: Case, sampler: Sampler, seed: int) -> list[Row]:
    """Return the rows of a setting: none if neither the law nor the posterior says what they should be.

    Raises:
        BnnbenchError: the sampler cannot be run.
    """
    target, noise = case.target, case.noise
    temperature = case.temperature
    key = f"{target.name}/{noise.name}/{temperature:g}/{case.h:g}"
    seed ^= zlib.crc32(key.encode())
    moves = scale(sampler, target, noise, seed)
    lr = moves.step_size(case.h) if sampler.lr is None else sampler.lr
    h, relaxation = lr * moves.fastest, moves.relaxation(lr)
    common: dict[str, Any] = {
        "sampler": sampler.name,
        "target": target.name,
        "gradient_noise": noise.name,
        "temperature": temperature,
        "h": h,
        "lr": lr,
    }
    if relaxation > case.longest:
        said = f"the slowest direction needs {relaxation} steps to forget its start: take a larger step size"
        return [Row(**common, moment="mean", verdict=UNRESOLVED, note=said)]
    adapt = max(ADAPT, RELAXATIONS * relaxation)

    def simulate(chains: int) -> Simulation:
        settings = {"lr": lr, "temperature": temperature}
        return Simulation(sampler, target, noise, chains=chains, adapt=adapt, seed=seed, **settings)

    simulation = simulate(case.chains)
    if getattr(simulation.optimizer, "per_element", False):  # a step costs passes in the number of all elements
        simulation = simulate(FEWEST)
    try:
        simulation.forget(adapt + (RELAXATIONS * relaxation if sampler.adapts else 0))
        laws = _laws(case, simulation, lr, temperature)
        if laws is None and (noise.noisy or h > SMALL * 1.01 or temperature == 0):
            return []
        found = simulation.measure(relaxation, case.rounds, ENOUGH)
    except DivergedError as error:
        said = f"{error} at step size {lr:.3g}, h = {h:.3g}, which has to be below 2: take a smaller one"
        if h < 1:
            said = (
                f"{error} at step size {lr:.3g}, h = {h:.3g}, which is small: its steps are not those of its equation"
            )
        return [Row(**common, moment="mean", verdict=FAIL, note=said)]
    return [Row(**common, **each) for each in _moments(case, found, laws, temperature)]


def _laws(case: Case, simulation: Simulation, lr: float, temperature: float) -> list[Tensor | None] | None:
    """Return E u_i^p, p = 1, 2, 4, of each chain, [K, d] each; None where the law is not known."""
    target, noise = case.target, case.noise
    declared = getattr(simulation.optimizer, "preconditioner", None)
    g = declared(simulation.theta) if declared is not None and target.linear else None
    if g is None:
        return None
    if tuple(getattr(g, "shape", ())) != tuple(simulation.theta.shape):
        raise BnnbenchError(
            f"method.optimizer.name={simulation.sampler.name}: preconditioner() should return a tensor of the "
            f"parameter's shape {tuple(simulation.theta.shape)}, or None."
        )
    g = g.detach().to(DOUBLE)
    covariance = law.covariance(target, noise, g, lr, temperature)
    w = target.directions
    second = torch.einsum("ia,kab,ib->ki", w, covariance, w)
    return [torch.zeros_like(second), second, law.fourth_moment(target, noise, second, g, lr)]


def _moments(case: Case, found: Moments, laws: list[Tensor | None] | None, temperature: float) -> list[dict[str, Any]]:
    """Return, for each kind of moment, the direction in which it is furthest from what it should be."""
    posterior = case.target.posterior_moments(temperature)
    errors = found.error()
    rows: list[dict[str, Any]] = []
    for place, kind in enumerate(KINDS):
        theory = laws[place] if laws is not None else None
        if kind == "kurtosis" and theory is None:
            continue
        average = found.of_chain[place].mean(0)
        unit, exact = torch.ones_like(average), None
        if kind == "kurtosis":
            assert laws is not None and laws[1] is not None
            unit = laws[1].mean(0).square()
        else:
            exact = posterior[place]
        z = None
        if theory is not None:
            less = standard_error((found.of_chain[place] - theory)[None])[0]
            z = (average - theory.mean(0)) / (less.square() + (ROUNDING * unit) ** 2).sqrt()
        bias = None if exact is None else average - exact
        direction = int((z if z is not None else bias).abs().argmax())  # type: ignore[union-attr]
        at = lambda tensor: None if tensor is None else float(tensor[direction])  # noqa: B023, E731
        relative = errors[place] / unit
        resolved = at(relative) / (3 if kind == "kurtosis" else 1)  # type: ignore[operator]
        rows.append(
            {
                "moment": kind,
                "direction": direction + 1,
                "estimate": at(average / unit),
                "error": at(relative),
                "law": None if theory is None else at(theory.mean(0) / unit),
                "posterior": at(exact),
                "z": at(z),
                "bias": at(bias),
                "ess_per_gradient": found.ess,
                "verdict": judge(resolved, at(z), at(bias) or 0.0),
            }
        )
    return rows
