"""The convolutional network of the pSGLD paper (Li et al. 2016)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

from annotated_types import Ge
from torch import nn

from bnnbench.models._image import channels_and_features


def build(in_shape: tuple[int, ...], outputs: int, *, padding: Annotated[int, Ge(0)] = 2) -> nn.Module:
    """Return conv 32@5×5, pool 2, conv 64@5×5, pool 2, dense 200, 200 and `outputs`; ReLU after each but the last.

    Args:
        padding: zeros on each side of a convolution's input; 2 keeps the size. What the paper used is not known; the
            released code, whose CNN script is another network, hard-wires 4.

    Raises:
        ConfigError: inputs that are no images, or images too small.
    """
    channels, features = channels_and_features("cnn", in_shape, kernel=5, padding=padding, blocks=2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 5, padding=padding),
            pool1=nn.MaxPool2d(2),  # before the ReLU, which commutes with max: a fifth faster than after it
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 5, padding=padding),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64 * features, 200),
            relu3=nn.ReLU(),
            fc2=nn.Linear(200, 200),
            relu4=nn.ReLU(),
            out=nn.Linear(200, outputs),
        )
    )
