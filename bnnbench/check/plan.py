"""The settings in which every sampler is checked."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bnnbench.check.case import SMALL, Case
from bnnbench.check.gradient_noise.base import GradientNoise
from bnnbench.check.target import Target
from bnnbench.config import plugins

LARGE = 0.5  # h at which an error of the step size shows plainly
QUICK_LONGEST, QUICK_ROUNDS = 400, 4  # steps of relaxation, rounds of measurement
EVEN, MILD, STEEP = 1.01, 15, 100  # ratios of variances


def targets() -> list[Target]:
    """Return a target of each file of ``check/targets``."""
    files = plugins.names("check/targets")
    return [cls() for file in files for cls in plugins.classes_in(plugins.find("check/targets", file), Target)]


def gradient_noises() -> list[GradientNoise]:
    """Return the gradient noise of each file of ``check/gradient_noise``, none first."""
    files = [file for file in plugins.names("check/gradient_noise") if file != "base"]
    modules = [plugins.find("check/gradient_noise", file) for file in files]
    found = [cls() for module in modules for cls in plugins.classes_in(module, GradientNoise)]
    return sorted(found, key=lambda noise: (noise.noisy, noise.excess is not None))


def cases(quick: bool) -> Iterator[Case]:
    """Yield the settings, of all samplers the same.

    T = 0 only where the gradient has noise: without it the chain is an optimiser, and has no spread to compare.

    Args:
        quick: fewer of them, and none that need many steps.
    """
    for target in targets():
        for noise in gradient_noises():
            for temperature, h in _grid(target, noise, quick):
                if quick:
                    yield Case(target, noise, temperature, h, longest=QUICK_LONGEST, rounds=QUICK_ROUNDS)
                else:
                    yield Case(target, noise, temperature, h)


def _grid(target: Target, noise: GradientNoise, quick: bool) -> list[tuple[float, float]]:
    """Return (T, h) of the settings with this target and noise."""
    condition = _condition(target)
    if not target.linear:
        return [] if noise.noisy else [(1.0, SMALL)]
    if noise.reshuffled and not target.constant_noise:
        return []  # no law is known
    if noise.excess is not None:
        simple = target.constant_noise and condition < EVEN
        return [(1.0, LARGE)] if quick and simple else [(0.0, LARGE), (1.0, LARGE)] if simple else []
    if quick and (condition > STEEP or (noise.reshuffled and condition > EVEN)):
        return []
    few = condition > STEEP or (quick and (noise.noisy or condition > MILD))
    steps = [LARGE] if few else [SMALL, LARGE]
    temperatures = [1.0] if quick or noise.reshuffled else [0.5, 1.0]
    if noise.noisy and not noise.reshuffled and not (quick and condition > EVEN):
        temperatures = [0.0, *temperatures]
    return [(temperature, h) for temperature in temperatures for h in steps]


def _condition(target: Target) -> float:
    """Return the ratio of the largest to the smallest variance along the posterior's principal axes."""
    values = torch.linalg.eigvalsh(target.covariance)
    return float(values[-1] / values[0])
