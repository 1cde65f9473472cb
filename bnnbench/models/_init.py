"""Initialisation of a network's dense and convolutional layers; other modules keep what they were built with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from bnnbench.errors import ConfigError, did_you_mean

Layer = nn.Linear | _ConvNd


def _psgld(layer: Layer) -> None:
    # The released code takes the CHANNELS times the filter's area for a convolution, and adds 1 for dense layers only.
    if isinstance(layer, nn.Linear):
        r = math.sqrt(6 / (layer.in_features + layer.out_features + 1))
    else:
        r = math.sqrt(6 / ((layer.in_channels + layer.out_channels) * math.prod(layer.kernel_size)))
    nn.init.uniform_(layer.weight, -r, r)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -r, r)


def _glorot(layer: Layer) -> None:
    nn.init.xavier_uniform_(layer.weight)
    _zero_bias(layer)


def _he(layer: Layer) -> None:
    nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
    _zero_bias(layer)


def _sparse_vd(layer: Layer) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        _zero_bias(layer)
    else:
        _glorot(layer)


def _zero_bias(layer: Layer) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


SCHEMES: dict[str, Callable[[Layer], None] | None] = {
    "torch": None,
    "psgld": _psgld,
    "glorot": _glorot,
    "he": _he,
    "sparse_vd": _sparse_vd,
}


def check_scheme(scheme: str) -> None:
    """Raise ConfigError unless `scheme` is one of `SCHEMES`."""
    if scheme not in SCHEMES:
        raise ConfigError(f"model.init={scheme}: no such initialisation.{did_you_mean(str(scheme), SCHEMES)}")


@torch.no_grad()
def initialise(network: nn.Module, scheme: str) -> None:
    """Draw the weights and biases of all dense and convolutional layers anew, in place.

    Schemes (fan_in and fan_out of a convolution count the filter's area):
        torch: leave PyTorch's own: weights and biases U(−r, r), r = 1/√fan_in.
        psgld: weights AND biases U(−r, r), r = √(6 / (in + out + 1)), for a convolution
            r = √(6 / ((in + out channels)·height·width)); the released code of Li et al. 2016.
        glorot: weights U(−r, r), r = √(6 / (fan_in + fan_out)), biases 0; Glorot & Bengio 2010, eq. 16.
        he: weights N(0, 2 / fan_in), biases 0; He et al. 2015, eq. 10.
        sparse_vd: weights N(0, 0.01²), of a convolution as glorot, biases 0; the released code of Molchanov et al.

    The numbers come from torch's global generator.

    Raises:
        ConfigError: unknown scheme.
    """
    check_scheme(scheme)
    draw = SCHEMES[scheme]
    if draw is None:
        return
    for module in network.modules():
        if isinstance(module, nn.Linear | _ConvNd):
            draw(module)
