"""The settings in which every sampler is checked."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

from bnnbench.check.case import LONGEST, SMALL, Case
from bnnbench.check.gradient_noise.base import GradientNoise
from bnnbench.check.sampler import Sampler
from bnnbench.check.target import Target
from bnnbench.config import plugins

LARGE = 0.5  # h at which an error of the step size shows plainly
QUICK_LONGEST = 400  # steps of relaxation
EVEN, MILD, STEEP = 1.01, 15, 100  # ratios of variances


@functools.cache
def targets(quick: bool = False) -> tuple[Target, ...]:
    """Return a target of each file of ``check/targets``, without those that are slow if `quick`."""
    modules = [plugins.find("check/targets", file) for file in plugins.names("check/targets")]
    classes = [cls for module in modules for cls in plugins.classes_in(module, Target)]
    return tuple(cls() for cls in classes if not (quick and cls.slow))


def gradient_noises() -> list[GradientNoise]:
    """Return the gradient noise of each file of ``check/gradient_noise``, none first."""
    files = [file for file in plugins.names("check/gradient_noise") if file != "base"]
    modules = [plugins.find("check/gradient_noise", file) for file in files]
    found = [cls() for module in modules for cls in plugins.classes_in(module, GradientNoise)]
    return sorted(found, key=lambda noise: (noise.noisy, noise.excess is not None))


def cases(sampler: Sampler, quick: bool) -> Iterator[Case]:
    """Yield the settings of a sampler: those of all, but for a step size or temperature that it is given.

    T = 0 only where the gradient has noise: without it the chain is an optimiser, and has no spread to compare.

    Args:
        sampler: see there.
        quick: fewer of them, and none that need many steps.
    """
    for target in targets(quick):
        for noise in gradient_noises():
            grid = _grid(target, noise, quick)
            if sampler.temperature is not None:
                grid = [(sampler.temperature, h) for _, h in grid if sampler.temperature or noise.noisy]
            if sampler.lr is not None:  # h follows from it
                grid = [(temperature, 0.0) for temperature, _ in grid]
            for temperature, h in dict.fromkeys(grid):
                yield Case(target, noise, temperature, h, longest=QUICK_LONGEST if quick else LONGEST)


def _grid(target: Target, noise: GradientNoise, quick: bool) -> list[tuple[float, float]]:
    """Return (T, h) of the settings with this target and noise."""
    condition = _condition(target)
    even = condition < EVEN
    if not target.linear:
        return [] if noise.noisy else [(1.0, SMALL)]
    if noise.excess is not None:  # the law of the fourth moment is that of one direction at a time
        return [(temperature, LARGE) for temperature in ((1.0,) if quick else (0.0, 1.0)) if even]
    steps = (LARGE,) if quick or condition > STEEP else (SMALL, LARGE)
    if noise.reshuffled:  # its law is known where the noise does not depend on θ
        return [(1.0, h) for h in steps if target.constant_noise and (even or not quick)]
    if quick:
        if noise.noisy:
            return [(1.0, LARGE)] * (condition < MILD) + [(0.0, LARGE)] * even
        return [(1.0, SMALL)] * (condition < MILD) + [(1.0, LARGE)] * (even or condition > MILD)
    temperatures = (0.0, 0.5, 1.0) if noise.noisy else (0.5, 1.0)
    return [(temperature, h) for temperature in temperatures for h in steps]


def _condition(target: Target) -> float:
    """Return the ratio of the largest to the smallest variance along the posterior's principal axes."""
    values = torch.linalg.eigvalsh(target.covariance)
    return float(values[-1] / values[0])
