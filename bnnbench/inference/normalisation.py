"""BatchNorm's mean and variance when a network is evaluated: four policies.

A sampler changes the weights at every step, and the running averages lag behind.

    running  the running averages, as in ordinary evaluation
    refit    recomputed on training data for each evaluated network (as SWA does for its average)
    frozen   refitted once at the end of burn-in and constant from then on, in training too: the likelihood is then a
             product over data and the posterior well defined
    batch    those of the evaluated batch itself

None of them changes the buffers that training uses, except ``frozen`` at the end of burn-in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnnbench.errors import ConfigError
from bnnbench.inference.chains import Chains, State
from bnnbench.layers.normalisation import norm_modules


class Running:
    """The running averages; also the policy of a network without BatchNorm.

    Args:
        chains: the networks.
        x: training inputs [n, …] that statistics are computed on.
        batch_size: of training.
        burn_in: iterations after which ``frozen`` freezes.
    """

    def __init__(self, chains: Chains, x: Tensor, batch_size: int, burn_in: int) -> None:
        self.chains, self.x, self.batch_size, self.burn_in = chains, x, batch_size, burn_in

    def on_iteration(self, iteration: int) -> None:
        """Follow the training: called after `iteration` steps, and with 0 before the first."""

    def on_resume(self, iteration: int) -> None:
        """Put the networks into the state that they had after `iteration` steps; their buffers are already loaded."""

    @contextmanager
    def evaluating(self) -> Iterator[State | None]:
        """Set the networks' modes for predictions; yield the buffers to use in place of the chains' own, if any."""
        with self.chains.mode(False):
            yield self.buffers_for_evaluation()

    def buffers_for_evaluation(self) -> State | None:
        """Return buffers with the statistics to predict with; None: the chains' own."""
        return None

    def batches(self, x: Tensor, size: int) -> Iterable[Tensor]:
        """Return `x` in batches for evaluation, of `size` data each if the statistics allow it."""
        return x.split(size)

    def settle(self, network: nn.Module) -> nn.Module:
        """Put `network`, a copy of one chain's, into evaluation mode with the statistics of this policy, and return it.

        Raises:
            ConfigError: there are no statistics to keep.
        """
        return network.eval()


class Refit(Running):
    """Statistics recomputed on training data for each evaluated network."""

    def buffers_for_evaluation(self) -> State | None:
        """Return the averages over the batches of x."""
        return refit(self.chains, self.x, self.batch_size)

    def settle(self, network: nn.Module) -> nn.Module:
        """Refit the statistics of `network` itself."""
        alone = Chains(lambda: network, [0], self.x.device)
        for name, value in refit(alone, self.x, self.batch_size).items():
            alone.buffers[name].copy_(value)
        return network.eval()


class Frozen(Refit):
    """Statistics refitted at the end of burn-in and constant from then on; before that, as ``refit``."""

    frozen = False

    def on_iteration(self, iteration: int) -> None:
        """Refit and freeze at the end of burn-in."""
        if iteration == self.burn_in:
            for name, value in refit(self.chains, self.x, self.batch_size).items():
                self.chains.buffers[name].copy_(value)
            self._hold()

    def on_resume(self, iteration: int) -> None:
        """Freeze again if frozen before; the statistics are in the buffers."""
        if iteration >= self.burn_in:
            self._hold()

    def _hold(self) -> None:
        self.frozen = True
        for module in norm_modules(self.chains.network):  # in evaluation mode the statistics stay constant
            module.eval()

    def buffers_for_evaluation(self) -> State | None:
        """Return refitted statistics until they are frozen."""
        return None if self.frozen else super().buffers_for_evaluation()

    def settle(self, network: nn.Module) -> nn.Module:
        """Keep frozen statistics."""
        return network.eval() if self.frozen else super().settle(network)


class Batch(Running):
    """The statistics of each evaluated batch, whose size is that of training."""

    @contextmanager
    def evaluating(self) -> Iterator[State]:
        """Yield a copy of the buffers, which the calls may change."""
        with self.chains.mode(False), self.chains.mode(True, only=_is_batch_norm):
            yield self.chains.copy_buffers()

    def batches(self, x: Tensor, size: int) -> list[Tensor]:
        """Return batches of the size of training; a single datum left over has no variance and joins the last one."""
        batches = list(x.split(self.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [x[-self.batch_size - 1 :]]
        return batches

    def settle(self, network: nn.Module) -> nn.Module:
        """Raise ConfigError: predictions depend on the batch."""
        raise ConfigError(
            "method.bn_stats=batch takes BatchNorm's statistics from each evaluated batch, so the network alone gives "
            "no predictions. Run it with method.bn_stats=refit."
        )


POLICIES = {"running": Running, "refit": Refit, "frozen": Frozen, "batch": Batch}


def policy_for(name: str, chains: Chains, x: Tensor, batch_size: int, burn_in: int) -> Running:
    """Return the policy called `name`; `Running` for networks without BatchNorm.

    Raises:
        ConfigError: `batch_size` is 1: a batch of one datum has no variance. A BatchNorm keeps no running statistics,
            so that its predictions would depend on how the data are split into batches.
    """
    if not has_batch_norm(chains):
        return Running(chains, x, batch_size, burn_in)
    if batch_size == 1:
        raise ConfigError("batch_size=1: BatchNorm takes a variance over the batch. Take 2 or more.")
    if name != "batch" and any(module.running_mean is None for module in norm_modules(chains.network)):
        raise ConfigError(
            "A BatchNorm of this model has track_running_stats=False, so that a prediction would depend on the other "
            "data of its batch.\nKeep its statistics (torch's default), or take method.bn_stats=batch."
        )
    return POLICIES[name](chains, x, batch_size, burn_in)


def has_batch_norm(chains: Chains) -> bool:
    """Whether the networks have statistics that depend on the data."""
    return any(True for _ in norm_modules(chains.network))


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm)


@torch.no_grad()
def refit(chains: Chains, x: Tensor, batch_size: int) -> State:
    """Return a copy of the buffers in which the statistics are the averages over the batches of `x` [n, …].

    The variance is the mean of the batches' variances, as the running average estimates it: `batch_size` is that of
    training. Batches have equal size, so that each counts the same; up to `batch_size` − 1 data are left out.
    """
    buffers, size = chains.copy_buffers(), min(batch_size, len(x))
    modules = list(norm_modules(chains.network))
    momenta = [module.momentum for module in modules]
    try:
        with chains.mode(False), chains.mode(True, only=_is_batch_norm):
            for index, batch in enumerate(x[: len(x) // size * size].split(size)):
                for module in modules:
                    module.momentum = 1 / (
                        index + 1
                    )  # a cumulative average; the first batch replaces the old statistics
                chains(batch, shared=True, buffers=buffers)
    finally:
        for module, momentum in zip(modules, momenta, strict=True):
            module.momentum = momentum
    return buffers
