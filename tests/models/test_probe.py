"""Networks of the user's own that do what a run cannot follow: refused before it begins, in a line that says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bnnbench.errors import ConfigError
from bnnbench.models import build_network

MODULE = """
import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, n, outputs):
        super().__init__()
        self.fc = nn.Linear(n, outputs)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        return self.fc(x)


def network(forward):
    def build(in_shape, outputs):
        return type("Own", (Net,), {"forward": forward})(in_shape[0], outputs)
    return build


def clipped(self, x):
    return self.fc(x.clamp_(min=0))


def counting(self, x):
    self.count += 1
    return self.fc(x)


def replacing(self, x):
    if self.training:
        self.count = self.count + 1
    return self.fc(x)


def decaying(self, x):
    self.fc.weight.data.mul_(0.9)
    return self.fc(x)


def numpy_noise(self, x):
    return self.fc(x) + float(np.random.normal())


def own_generator(self, x):
    if not hasattr(self, "generator"):
        type(self).generator = torch.Generator()
    return self.fc(x) + torch.randn((), generator=self.generator)


def centred(self, x):
    return self.fc(x - x.mean(0))


def half(self, x):
    return self.fc(x).half()


def cut(self, x):
    return self.fc(x).detach()


def counting_in_training(self, x):
    if self.training:
        self.count += 1
    return self.fc(x)


def drawing(self, x):
    return self.fc(x + torch.randn_like(x))


def branching(self, x):
    return self.fc(x.clamp(min=0)) if x.sum() > 0 else self.fc(x)


for name in ("clipped", "counting", "replacing", "decaying", "numpy_noise", "own_generator", "centred", "half", "cut",
             "counting_in_training", "drawing", "branching"):
    globals()[f"build_{name}"] = network(globals()[name])


def build_from_numpy(in_shape, outputs):
    net = Net(in_shape[0], outputs)
    net.fc.weight.data = torch.from_numpy(np.random.normal(size=(outputs, *in_shape))).float()
    return net


def build_inplace_relu(in_shape, outputs):
    return nn.Sequential(nn.ReLU(inplace=True), nn.Linear(*in_shape, outputs))


def build_normalised(in_shape, outputs):
    return nn.Sequential(nn.Linear(*in_shape, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, outputs))


def build_without_statistics(in_shape, outputs):
    return nn.Sequential(nn.BatchNorm1d(*in_shape, track_running_stats=False), nn.Linear(*in_shape, outputs))


def build_lazy(in_shape, outputs):
    return nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.LazyLinear(outputs))
"""
REFUSED = {
    "clipped": "changes its inputs in place. Work on a copy",
    "inplace_relu": "changes its inputs in place. Work on a copy",
    "counting": "changes 'count' in evaluation mode. Do so in training mode alone",
    "replacing": "puts another tensor in the place of 'count' in training mode. Change it in place",
    "decaying": r"changes 'fc\.weight' in evaluation mode. Parameters change by training alone",
    "numpy_noise": "random numbers that the run's seed does not reach",
    "own_generator": "random numbers that the run's seed does not reach",
    "from_numpy": "build.. draws initial values that the run's seed does not reach",
    "cut": "its outputs have no gradient",
    "centred": "its prediction for an input depends on the other inputs of the batch",
    "half": r"to float16 \[2, 2\]. It must return outputs \[2, 2\] in single precision",
}


@pytest.fixture
def own(user_package: Callable[..., None]) -> None:
    user_package("own", nets=MODULE)


def build(name: str) -> nn.Module:
    return build_network({"name": f"own.nets.build_{name}"}, (3,), 2, probe=True)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str, own: None) -> None:
    with pytest.raises(ConfigError, match=f"^model.name=own.nets.build_{name}: .*{REFUSED[name]}") as caught:
        build(name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["counting_in_training", "drawing", "branching", "normalised", "without_statistics", "lazy"]
)
def test_what_a_run_can_follow_passes_and_is_left_as_it_was(name: str, own: None) -> None:
    torch.manual_seed(0)
    network = build(name)
    expected = torch.rand(1)
    torch.manual_seed(0)
    plain = build_network({"name": f"own.nets.build_{name}"}, (3,), 2)
    assert torch.equal(torch.rand(1), expected)  # the probe takes no number of the stream
    assert network.training and all(
        torch.equal(*pair) for pair in zip(network.state_dict().values(), plain.state_dict().values(), strict=True)
    )
