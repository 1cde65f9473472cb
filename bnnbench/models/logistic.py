"""Logistic (softmax) regression: one dense layer on the flattened input; with one output, linear regression."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn


def build(in_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return f(x) = W x + b, [batch, *in_shape] → [batch, outputs]."""
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), out=nn.Linear(math.prod(in_shape), outputs)))
