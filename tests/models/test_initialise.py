"""Initial weights against the law they are drawn from."""

import math

import pytest
import torch
from torch import nn

from bnnbench.errors import ConfigError
from bnnbench.models import initialise


def layers():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(300, 200), nn.Conv2d(8, 64, (5, 3)), nn.Linear(7, 5, bias=False))


def is_uniform(values, r):
    """All within ±r, the largest near r (missed with probability e^−20), deviation within five errors of r/√3."""
    n = values.numel()
    deviation = values.double().square().mean().sqrt().item()
    error = r / math.sqrt(3) * math.sqrt(0.8 / n) / 2  # Var(x²)/(E x²)² = 4/5 for a uniform law
    largest = values.abs().max().item()
    return r * (1 - 20 / n) < largest <= r and abs(deviation - r / math.sqrt(3)) < 5 * error


def test_torch_leaves_everything():
    network = layers()
    before = [p.clone() for p in network.parameters()]
    initialise(network, "torch")
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_psgld_draws_weights_and_biases():
    network = layers()
    initialise(network, "psgld")
    dense, conv = math.sqrt(6 / 501), math.sqrt(6 / (72 * 15))
    assert is_uniform(network[0].weight, dense)
    assert is_uniform(network[0].bias, dense)
    assert is_uniform(network[1].weight, conv)
    assert is_uniform(network[1].bias, conv)


def test_glorot():
    network = layers()
    initialise(network, "glorot")
    assert is_uniform(network[0].weight, math.sqrt(6 / 500))
    assert is_uniform(network[1].weight, math.sqrt(6 / ((8 + 64) * 15)))
    assert not network[0].bias.any()
    assert not network[1].bias.any()


def test_he():
    network = layers()
    initialise(network, "he")
    for layer, fan_in in ((network[0], 300), (network[1], 8 * 15)):
        w = layer.weight.detach()
        deviation = math.sqrt(2 / fan_in)
        assert abs(w.std().item() - deviation) < 5 * deviation / math.sqrt(2 * w.numel())
        assert w.abs().max() > 3 * deviation  # a uniform law of this variance ends at 1.73 standard deviations
        assert not layer.bias.any()


@pytest.mark.parametrize("scheme", ["psgld", "glorot", "he", "sparse_vd"])
def test_the_global_seed_decides(scheme):
    def draw(seed):
        network = layers()
        torch.manual_seed(seed)
        initialise(network, scheme)
        return network[0].weight.detach()

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_sparse_vd():
    network = nn.Sequential(nn.Linear(200, 100), nn.Conv2d(3, 4, 5))
    torch.manual_seed(0)
    initialise(network, "sparse_vd")
    dense, filters = network[0].weight, network[1].weight
    count, deviation = dense.numel(), 0.01
    assert abs(dense.std() - deviation) < 5 * deviation / (2 * count) ** 0.5  # the standard error of a deviation
    assert dense.abs().max() > 3 * deviation  # a normal law, not a uniform one of this variance
    assert filters.abs().max() <= (6 / ((3 + 4) * 25)) ** 0.5  # Glorot's
    assert filters.abs().max() > 0.9 * (6 / ((3 + 4) * 25)) ** 0.5
    assert not network[0].bias.any()
    assert not network[1].bias.any()


def test_other_modules_are_left():
    norm = nn.BatchNorm1d(4)
    initialise(nn.Sequential(nn.Linear(3, 4), norm), "psgld")
    assert torch.equal(norm.weight, torch.ones(4))


def test_unknown_scheme():
    with pytest.raises(ConfigError, match=r"model\.init=He: .*'he'"):
        initialise(layers(), "He")
