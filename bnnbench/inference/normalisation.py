"""Where BatchNorm's mean and variance come from when a network is evaluated.

A sampler changes the weights at every step, and the running averages lag behind. Four policies:
    running  the running averages, as in ordinary evaluation
    refit    recomputed on training data for each evaluated network (as SWA does for its average)
    frozen   refitted once at the end of burn-in, constants from then on, in training too: the likelihood is then a
             product over data and the posterior well defined
    batch    those of the evaluated batch itself
None of them changes the buffers that training uses, `freeze` excepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnnbench.inference.chains import Chains, State
from bnnbench.layers.normalisation import norm_modules


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm)


@torch.no_grad()
def refit(chains: Chains, x: Tensor, batch_size: int) -> State:
    """Return a copy of the buffers in which the statistics are the averages over the batches of `x` [n, …].

    The variance is the mean of the batches' variances, as the running average estimates it: `batch_size` is that of
    training. Batches are equal, so that each counts the same; up to `batch_size` − 1 data are left out.
    """
    buffers, size = chains.copy_buffers(), min(batch_size, len(x))
    modules = list(norm_modules(chains.network))
    momenta = [m.momentum for m in modules]
    try:
        with chains.mode(False), chains.mode(True, only=_is_batch_norm):
            for index, batch in enumerate(x[: len(x) // size * size].split(size)):
                for module in modules:
                    module.momentum = 1 / (index + 1)  # a cumulative average; the first batch replaces what was there
                chains(batch, shared=True, buffers=buffers)
    finally:
        for module, momentum in zip(modules, momenta, strict=True):
            module.momentum = momentum
    return buffers


def freeze(chains: Chains, x: Tensor, batch_size: int) -> None:
    """Refit the statistics of `chains` on `x` and make them constants of training: the policy ``frozen``."""
    for name, value in refit(chains, x, batch_size).items():
        chains.buffers[name].copy_(value)
    hold(chains)


def hold(chains: Chains) -> None:
    """Keep BatchNorm in evaluation mode from here on: its statistics no longer move."""
    for module in norm_modules(chains.network):
        module.eval()


@contextmanager
def of_the_batch(chains: Chains) -> Iterator[State]:
    """Evaluate with each batch's own statistics; yields the copy of the buffers that the calls may change."""
    with chains.mode(False), chains.mode(True, only=_is_batch_norm):
        yield chains.copy_buffers()
