"""Multilayer perceptron: dense hidden layers with an elementwise activation, no activation after the last layer."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Annotated, Literal

from annotated_types import Gt, Le, MaxLen, MinLen
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}


def build(
    in_shape: tuple[int, ...],
    outputs: int,
    *,
    widths: Annotated[list[Annotated[int, Gt(0), Le(10**12)]], MinLen(1), MaxLen(1000)],
    activation: Literal["relu", "tanh", "silu"] = "relu",
) -> nn.Module:
    """Return h_l = a(W_l h_{l−1} + b_l) with h_0 the flattened input; [batch, *in_shape] → [batch, outputs].

    Args:
        widths: units of each hidden layer, first to last.
        activation: a; relu, tanh or silu.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    fan_in = math.prod(in_shape)
    for number, width in enumerate(widths, start=1):
        layers[f"fc{number}"] = nn.Linear(fan_in, width)
        layers[f"{activation}{number}"] = ACTIVATIONS[activation]()
        fan_in = width
    layers["out"] = nn.Linear(fan_in, outputs)
    return nn.Sequential(layers)
