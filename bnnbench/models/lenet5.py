"""LeNet-5-Caffe, as in the released code of Sparse VD (Molchanov et al. 2017)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from bnnbench.models._image import channels_and_features


def build(in_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return conv 20@5×5, pool 2, conv 50@5×5, pool 2, dense 500, dense `outputs`; no padding.

    ReLU after both convolutions and after the first dense layer, as in the Sparse VD code. (Caffe's own definition of
    this network has a ReLU after the dense layer only.) On 28×28 images: 431 080 parameters with ten outputs.

    Raises:
        ConfigError: inputs that are no images, or images under 16×16.
    """
    channels, features = channels_and_features("lenet5", in_shape, kernel=5, padding=0, blocks=2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, 5),
            pool1=nn.MaxPool2d(2),  # before the ReLU, which commutes with max: a fifth faster than after it
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(20, 50, 5),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(50 * features, 500),
            relu3=nn.ReLU(),
            out=nn.Linear(500, outputs),
        )
    )
