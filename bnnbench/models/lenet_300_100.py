"""LeNet-300-100: the fully connected network of the pruning literature (first in LeCun et al. 1998)."""

from __future__ import annotations

from torch import nn

from bnnbench.models import mlp


def build(in_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return an MLP with 300 and 100 ReLU units, the form that Sparse VD (Molchanov et al. 2017) trains."""
    return mlp.build(in_shape, outputs, widths=[300, 100], activation="relu")
