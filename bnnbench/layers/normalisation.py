"""Batch and layer normalisation, inserted into a plain network.

BatchNorm   y_c = γ_c (x_c − mean_c) / √(var_c + 1e-5) + β_c, mean and variance over the batch (and the positions);
            Ioffe & Szegedy 2015, algorithm 1.
LayerNorm   the same with mean and variance over one datum's own features; Ba, Kiros & Hinton 2016, eq. 3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from bnnbench.errors import ConfigError, did_you_mean

KINDS = {"none": (), "batch": (_BatchNorm,), "layer": (nn.LayerNorm, nn.GroupNorm)}
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def add_normalisation(network: nn.Module, kind: Literal["none", "batch", "layer"]) -> nn.Module:
    """Insert a normalisation after every Linear and Conv2d but the last one, in place, and return `network`.

    Each such layer becomes a Sequential of ``layer`` and ``norm``, so the norm stands between the layer and its
    activation, as in Ioffe & Szegedy. The last layer in the order of registration is taken for the output. Weights
    keep their values. Linear layers are assumed to work on [batch, features].

    Args:
        network: any nn.Module. Call this before layers are made stochastic.
        kind: ``none`` returns the network unchanged.

    Raises:
        ConfigError: unknown kind; the network has this normalisation already, or no hidden layer.
    """
    if kind not in KINDS:
        raise ConfigError(f"method.norm={kind}: no such normalisation.{did_you_mean(str(kind), KINDS)}")
    if kind == "none":
        return network
    if any(isinstance(m, KINDS[kind]) for m in network.modules()):
        raise ConfigError(f"method.norm={kind}: the network has {kind} normalisation already. Take method.norm=none.")
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if len(layers) < 2:
        raise ConfigError(
            f"method.norm={kind}: the network has no hidden Linear or Conv2d layer, so there is nothing to normalise. "
            "Take method.norm=none or a deeper model."
        )
    parents = list(network.modules())  # before the pairs exist: they must not be searched
    pairs = {layer: _normalised(layer, kind) for layer in layers[:-1]}
    for parent in parents:
        for name, child in parent._modules.items():  # not named_children(): a layer used twice is replaced twice
            if child is not None and child in pairs:
                parent._modules[name] = pairs[child]
    return network


def _normalised(layer: nn.Linear | nn.Conv2d, kind: str) -> nn.Sequential:
    like: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    if kind == "batch":
        # Subtracting the batch's mean cancels the bias: it would affect no output, and under Langevin noise follow the
        # prior alone. β replaces it. (LayerNorm's mean is over features, so there a bias has an effect.)
        layer.register_parameter("bias", None)
        if isinstance(layer, nn.Linear):
            norm: nn.Module = nn.BatchNorm1d(layer.out_features, **like)
        else:
            norm = nn.BatchNorm2d(layer.out_channels, **like)
    elif isinstance(layer, nn.Linear):
        norm = nn.LayerNorm(layer.out_features, **like)
    else:
        # One group: mean and variance over all channels and positions of a datum, γ and β per channel.
        norm = nn.GroupNorm(1, layer.out_channels, **like)
    return nn.Sequential(OrderedDict(layer=layer, norm=norm))


def norm_modules(network: nn.Module) -> Iterator[_BatchNorm]:
    """Yield the BatchNorm modules of `network`, whose running statistics matter in evaluation."""
    return (m for m in network.modules() if isinstance(m, _BatchNorm))
