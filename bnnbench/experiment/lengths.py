"""Burn-in, thinning and the interval of evaluations: as given, or else as fractions of the run."""

from __future__ import annotations

from dataclasses import replace

from bnnbench.config.schema import RunConfig

BURN_IN = 0.2  # of a run
EVALUATIONS = 40  # in a run


def with_lengths(config: RunConfig, iterations: int) -> RunConfig:
    """Return `config` with a number of iterations in place of each length that is null.

    ``eval.every`` is a 40th of the run, at least 1. ``members.burn_in`` is a fifth of it, at least the 2 steps that
    pSGLD's V needs to learn, and leaves a member. ``members.thin`` is the interval of evaluations.

    Args:
        config: of the run.
        iterations: of the whole run.
    """
    every = config.eval.every or max(1, iterations // EVALUATIONS)
    burn_in, thin = config.members.burn_in, config.members.thin
    if burn_in is None:
        burn_in = min(max(2, round(BURN_IN * iterations)), iterations - 1)
    if thin is None:
        thin = min(every, max(1, iterations - burn_in))
    numbers = {"burn_in": burn_in, "thin": thin}
    predictive = {
        key: numbers[key] if value is None and key in numbers else value
        for key, value in config.method.predictive.items()
    }
    return replace(
        config,
        eval=replace(config.eval, every=every),
        members=replace(config.members, burn_in=burn_in, thin=thin),
        method=replace(config.method, predictive=predictive),
    )
