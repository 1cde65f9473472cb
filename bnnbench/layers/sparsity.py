"""Pruning by log α = log σ²/μ² of each weight: masks, thresholds and counts.

A weight is dropped where log α is above a threshold. For Sparse VD that is Molchanov et al. 2017, section 4.1; for a
mean-field posterior it is Blundell et al. 2015, section 5: the signal-to-noise ratio |μ|/σ = α^−½ below a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.errors import ConfigError
from bnnbench.layers.base import HasAlpha, Prunable, StochasticLayer, Thresholded
from bnnbench.layers.network import with_state

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
NO_ALPHA = "No layer has an α, so there is no threshold: it takes method.layers.name=sparse_vd, vd or mean_field."
ITSELF = "(the network itself)"  # the name of a layer that has none


@dataclass(frozen=True)
class Sparsity:
    """Numbers of weights, without biases, and the distribution of log α.

    Attributes:
        weights: |w|, the number of weights.
        kept: |w ≠ 0|, the number of those not dropped.
        log_alpha: quantile level → log α, each weight counting once; empty for a layer without α.
    """

    weights: int
    kept: int
    log_alpha: dict[float, float] = field(default_factory=dict)

    @property
    def dropped(self) -> float:
        """Fraction of the weights that are dropped, 0 to 1."""
        return (self.weights - self.kept) / self.weights

    @property
    def compression(self) -> float:
        """|w| / |w ≠ 0|; infinite if nothing is left."""
        return self.weights / self.kept if self.kept else math.inf


@torch.no_grad()
def fraction_dropped(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> float | None:
    """Return the fraction of all dense and convolutional weights that are dropped; None if no layer drops any.

    Args:
        network: with layers that drop weights, see `bnnbench.layers.base.Prunable`.
        state: parameters to use instead of the network's own.
    """

    def read(network: nn.Module) -> float | None:
        weights, dropped, drops = 0, 0, False
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | StochasticLayer):
                weights += module.weight.numel()
            if isinstance(module, Prunable):
                drops, dropped = True, dropped + int((~module.kept()).sum())
        return dropped / weights if drops else None

    return with_state(network, state, read)


@torch.no_grad()
def sparsity(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> tuple[Sparsity, dict[str, Sparsity]]:
    """Return the sparsity of the whole network, and layer name → sparsity of the layer.

    All dense and convolutional layers count, those that drop no weights as fully kept.

    Args:
        network: at least one of its layers has an α (variational dropout, sparse or not, or mean-field), or drops
            weights by a rule of its own.
        state: parameters to use instead of the network's own, e.g. those of one chain.

    Raises:
        ConfigError: no layer has an α.
    """

    def read(network: nn.Module) -> tuple[Sparsity, dict[str, Sparsity]]:
        layers: dict[str, Sparsity] = {}
        alphas: list[Tensor] = []
        for name, module in network.named_modules():
            if not isinstance(module, nn.Linear | nn.Conv2d | StochasticLayer):
                continue
            count = module.weight.numel()
            kept = int(module.kept().sum()) if isinstance(module, Prunable) else count
            alpha = torch.empty(0)
            if isinstance(module, HasAlpha):
                alpha = module.current_log_alpha().flatten().double()
                alpha = alpha.repeat_interleave(count // len(alpha))  # an α shared by weights counts for each
                alphas.append(alpha)
            layers[name] = Sparsity(count, kept, _quantiles(alpha))
        if not (alphas or any(isinstance(m, Prunable) for m in network.modules())):
            raise ConfigError("No layer has an α: sparsity needs method.layers.name=sparse_vd, vd or mean_field.")
        total = Sparsity(
            sum(s.weights for s in layers.values()),
            sum(s.kept for s in layers.values()),
            _quantiles(torch.cat(alphas) if alphas else torch.empty(0)),
        )
        return total, layers

    return with_state(network, state, read)


def _quantiles(values: Tensor) -> dict[float, float]:
    """Return the nearest-rank quantiles. (torch.quantile refuses more than 16 million values.)"""
    if not len(values):
        return {}
    ordered = values.sort().values
    return {level: ordered[round(level * (len(ordered) - 1))].item() for level in QUANTILES}


def log_alpha_of_weights(layer: StochasticLayer) -> Tensor:
    """Return log α in the shape of the weight, repeated if the layer, an input unit or a channel shares one.

    Args:
        layer: with an α, see `bnnbench.layers.base.HasAlpha`; weight [out, in / groups, …].
    """
    assert isinstance(layer, HasAlpha)
    alpha, shape = layer.current_log_alpha().detach(), layer.weight.shape
    if alpha.dim() == 1:
        groups = layer.groups if layer.is_conv else 1
        alpha = alpha.view(groups, 1, -1).expand(-1, shape[0] // groups, -1).flatten(0, 1)  # [out, in / groups]
        alpha = alpha.view(*alpha.shape, *[1] * (len(shape) - 2))
    return alpha.expand(shape)


def layers_with_alpha(network: nn.Module) -> dict[str, StochasticLayer]:
    """Return name → layer of the layers whose weights have an α.

    Raises:
        ConfigError: there is none.
    """
    layers: dict[str, StochasticLayer] = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, StochasticLayer) and isinstance(module, HasAlpha)
    }
    if not layers:
        raise ConfigError(NO_ALPHA)
    return layers


def threshold_of_layers(network: nn.Module) -> dict[str, float]:
    """Return name → threshold of the layers of `network` that have one."""
    return {n or ITSELF: float(m.threshold) for n, m in network.named_modules() if isinstance(m, Thresholded)}


def own_thresholds(network: nn.Module) -> list[float]:
    """Return the distinct thresholds of the layers of `network`, in increasing order."""
    return sorted(set(threshold_of_layers(network).values()))


@torch.no_grad()
def prune(network: nn.Module, threshold: float) -> nn.Module:
    """Drop all weights with log α > `threshold`, in place, and return `network`. Biases stay.

    A layer with a threshold takes this one, and so may regain weights it had dropped; in the others the dropped means
    become 0, which cannot be undone.

    Raises:
        ConfigError: no layer has an α.
    """
    for layer in layers_with_alpha(network).values():
        if isinstance(layer, Thresholded):
            layer.threshold = threshold
        else:
            layer.weight.copy_(torch.where(log_alpha_of_weights(layer) <= threshold, layer.weight, 0.0))
    return network


def count_weights(network: nn.Module) -> tuple[int, int]:
    """Return |w| and |w ≠ 0| over the dense and convolutional layers of a plain network; biases do not count."""
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return sum(w.numel() for w in weights), sum(int(w.count_nonzero()) for w in weights)


def sparsity_rows(network: nn.Module, states: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Any]]:
    """Return the rows of sparsity.csv: one per chain and layer, and one for each chain's total.

    Empty if no layer drops weights and none has an α. ``dropped`` is a fraction, ``compression`` |w|/|w ≠ 0|, and
    ``log_alpha_5`` the 5 % quantile of log α over the layer's weights; a layer without α has none.

    Args:
        network: of all chains.
        states: the parameters of each chain.
    """
    if not any(isinstance(m, Prunable | HasAlpha) for m in network.modules()):
        return []
    rows = []
    for chain, state in enumerate(states):
        total, layers = sparsity(network, state)
        named = {name or ITSELF: layer for name, layer in layers.items()}
        rows += [{"chain": chain, "layer": name, **_columns(s)} for name, s in [*named.items(), ("total", total)]]
    quantiles = {key: None for row in rows for key in row}  # the first row names the columns, even without α
    return [{**quantiles, **row} for row in rows]


def _columns(layer: Sparsity) -> dict[str, Any]:
    counts = {"weights": layer.weights, "kept": layer.kept, "dropped": layer.dropped, "compression": layer.compression}
    return counts | {f"log_alpha_{100 * level:g}": value for level, value in layer.log_alpha.items()}
