"""Where normalisation is put, what it computes, and the kinds of parameters."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bnnbench.errors import ConfigError
from bnnbench.layers.normalisation import add_normalisation, norm_modules
from bnnbench.models import build_network

MLP = {"name": "mlp", "widths": [6, 5]}


def test_none_changes_nothing():
    network = build_network(MLP, (4,), 3)
    names = list(network.state_dict())
    assert add_normalisation(network, "none") is network
    assert list(network.state_dict()) == names


def test_batch_by_hand():
    network = build_network(MLP, (4,), 3)
    w1, w2, out = network.fc1.weight.clone(), network.fc2.weight.clone(), network.out
    x = torch.randn(7, 4)

    def normal(a):
        return (a - a.mean(0)) / (a.var(0, unbiased=False) + 1e-5).sqrt()

    expected = F.linear(normal(F.linear(normal(x @ w1.T).relu(), w2)).relu(), out.weight, out.bias)
    torch.testing.assert_close(add_normalisation(network, "batch")(x), expected)


def test_layer_by_hand_keeps_the_bias():
    network = build_network(MLP, (4,), 3)
    fc1, fc2, out = network.fc1, network.fc2, network.out
    x = torch.randn(7, 4)

    def normal(a):
        return (a - a.mean(1, keepdim=True)) / (a.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()

    expected = out(normal(fc2(normal(fc1(x)).relu())).relu())
    torch.testing.assert_close(add_normalisation(network, "layer")(x), expected)
    assert network.fc1.layer.bias is not None


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_convolutions(kind):
    network = build_network({"name": "lenet5"}, (1, 28, 28), 10)
    conv1, x = network.conv1, 5 + 3 * torch.randn(4, 1, 28, 28)
    a = conv1(x)
    axes = (0, 2, 3) if kind == "batch" else (1, 2, 3)
    expected = (a - a.mean(axes, keepdim=True)) / (a.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()
    add_normalisation(network, kind)
    torch.testing.assert_close(network.conv1(x), expected, atol=1e-4, rtol=1e-4)
    assert isinstance(network.conv2.norm, nn.BatchNorm2d if kind == "batch" else nn.GroupNorm)
    assert isinstance(network.fc1.norm, nn.BatchNorm1d if kind == "batch" else nn.LayerNorm)
    assert isinstance(network.out, nn.Linear)
    assert network(x).shape == (4, 10)


def test_batch_drops_biases_before_a_norm_only_and_keeps_weights():
    network = build_network(MLP, (4,), 3)
    weights = [network.fc1.weight, network.fc2.weight, network.out.weight]
    values = [w.clone() for w in weights]
    add_normalisation(network, "batch")
    assert "fc1.layer.bias" not in dict(network.named_parameters())
    assert network.out.bias is not None
    for kept, old, value in zip(
        [network.fc1.layer.weight, network.fc2.layer.weight, network.out.weight], weights, values, strict=True
    ):
        assert kept is old
        assert torch.equal(kept, value)


class Twice(nn.Module):
    """Nested, not a Sequential, with one layer used in three places."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.alias = self.shared
        self.inner = nn.ModuleDict({"same": self.shared})
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        for layer in (self.shared, self.alias, self.inner["same"]):
            x = layer(x).relu()
        return self.head(x)


def test_any_module_a_shared_layer_stays_shared():
    network = add_normalisation(Twice().double(), "batch")
    assert isinstance(network.shared, nn.Sequential)
    assert network.shared is network.alias is network.inner["same"]
    assert network.shared.norm.weight.dtype == torch.float64
    assert network(torch.randn(5, 4).double()).shape == (5, 2)
    assert len(list(norm_modules(network))) == 1


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_refusals(kind):
    with pytest.raises(ConfigError, match="nothing to normalise"):
        add_normalisation(build_network({"name": "logistic"}, (4,), 3), kind)
    network = add_normalisation(build_network(MLP, (4,), 3), kind)
    with pytest.raises(ConfigError, match="already"):
        add_normalisation(network, kind)


def test_unknown_kind():
    with pytest.raises(ConfigError, match="'batch'"):
        add_normalisation(build_network(MLP, (4,), 3), "bacth")


def test_norm_modules_are_those_with_running_statistics():
    network = build_network(MLP, (4,), 3)
    assert not list(norm_modules(network))
    assert not list(norm_modules(add_normalisation(network, "layer")))
    batch = add_normalisation(build_network(MLP, (4,), 3), "batch")
    assert list(norm_modules(batch)) == [batch.fc1.norm, batch.fc2.norm]
