"""Which weights a network can do without, by log α = log σ²/μ² of each: masks, thresholds, and a table of them.

A weight is dropped where log α is above a threshold. For Sparse VD that is Molchanov et al. 2017, section 4.1; for a
mean-field posterior it is Blundell et al. 2015, section 5: the signal-to-noise ratio |μ|/σ = α^−½ below a limit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.chains import Chains
from bnnbench.errors import ConfigError
from bnnbench.layers._affine import Affine
from bnnbench.layers.conversion import Sparsity, sparsity

NO_ALPHA = "No layer has an α, so there is no threshold: it takes method.layers.name=sparse_vd, vd or mean_field."
ITSELF = "(the network itself)"  # the name of a layer that has none


def log_alpha_of_weights(layer: Affine) -> Tensor:
    """Return log α in the shape of the weight; one shared by an input unit, a channel or the layer stands repeatedly.

    Args:
        layer: has `current_log_alpha`: [], [units] or the shape of the weight [out, in / groups, …].
    """
    alpha, shape = layer.current_log_alpha().detach(), layer.weight.shape
    if alpha.dim() == 1:
        groups = layer.groups if layer.is_conv else 1
        alpha = alpha.view(groups, 1, -1).expand(-1, shape[0] // groups, -1).flatten(0, 1)  # [out, in / groups]
        alpha = alpha.view(*alpha.shape, *[1] * (len(shape) - 2))
    return alpha.expand(shape)


def layers_with_alpha(network: nn.Module) -> dict[str, Affine]:
    """Return name → layer of the layers whose weights have an α.

    Raises:
        ConfigError: there is none.
    """
    found = {n: m for n, m in network.named_modules() if isinstance(m, Affine) and hasattr(m, "current_log_alpha")}
    if not found:
        raise ConfigError(NO_ALPHA)
    return found


def threshold_of_layers(network: nn.Module) -> dict[str, float]:
    """Return name → threshold of the layers of `network` that drop weights by themselves."""
    needed = ("kept", "current_log_alpha", "threshold")
    found = {name or ITSELF: m for name, m in network.named_modules() if all(hasattr(m, a) for a in needed)}
    return {name: float(layer.threshold) for name, layer in found.items()}


def own_thresholds(network: nn.Module) -> list[float]:
    """Return the thresholds at which layers of `network` drop weights by themselves, each once, in order."""
    return sorted(set(threshold_of_layers(network).values()))


@torch.no_grad()
def prune(network: nn.Module, threshold: float) -> nn.Module:
    """Drop all weights with log α > `threshold`, in place, and return `network`. Biases stay.

    A layer with a threshold of its own takes this one, and so may get back what it had dropped; in the others the
    dropped means become 0, for good.

    Raises:
        ConfigError: no layer has an α.
    """
    for layer in layers_with_alpha(network).values():
        if hasattr(layer, "threshold"):
            layer.threshold = threshold
        else:
            layer.weight.copy_(torch.where(log_alpha_of_weights(layer) <= threshold, layer.weight, 0.0))
    return network


def count_weights(network: nn.Module) -> tuple[int, int]:
    """Return |w| and |w ≠ 0| over the dense and convolutional layers of a plain network; biases do not count."""
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return sum(w.numel() for w in weights), sum(int(w.count_nonzero()) for w in weights)


def sparsity_rows(chains: Chains) -> list[dict[str, Any]]:
    """Return what sparsity.csv holds: a row per chain and layer, and one for each chain's total.

    Empty if no layer drops weights and none has an α. ``dropped`` is a fraction, ``compression`` |w|/|w ≠ 0|, and
    ``log_alpha_5`` the 5 % quantile of log α over the layer's weights; a layer without α has none.
    """
    if not any(hasattr(m, "kept") or hasattr(m, "current_log_alpha") for m in chains.network.modules()):
        return []
    rows = []
    for chain in range(chains.count):
        total, layers = sparsity(chains.network, chains.state_of(chain))
        named = {name or ITSELF: layer for name, layer in layers.items()}
        rows += [{"chain": chain, "layer": name, **_columns(s)} for name, s in [*named.items(), ("total", total)]]
    quantiles = {key: None for row in rows for key in row}  # a first layer without α must not cost the others theirs
    return [{**quantiles, **row} for row in rows]


def _columns(layer: Sparsity) -> dict[str, Any]:
    counts = {"weights": layer.weights, "kept": layer.kept, "dropped": layer.dropped, "compression": layer.compression}
    return counts | {f"log_alpha_{100 * level:g}": value for level, value in layer.log_alpha.items()}
