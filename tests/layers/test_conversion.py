"""Conversion of networks, KL and sparsity of whole networks, and stacked chains."""

import functools
import math

import pytest
import torch
from torch import nn

from bnnbench.errors import ConfigError
from bnnbench.inference.chains import Chains
from bnnbench.layers import kl as forms
from bnnbench.layers.conversion import convert, kl, sampling, sparsity
from bnnbench.layers.dropout import Dropout
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.normalisation import add_normalisation
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.layers.vd import VariationalDropout
from bnnbench.models import build_network

MLP = {"name": "mlp", "widths": [6, 5]}


@pytest.mark.parametrize("model", [MLP, {"name": "lenet5"}])
def test_keeps_the_weights_their_names_and_the_function(model):
    shape = (1, 28, 28) if model["name"] == "lenet5" else (4,)
    network, x = build_network(model, shape, 3), torch.randn(2, *shape)
    expected, before = network(x), dict(network.named_parameters())
    assert convert(network, Dropout) is network
    after = dict(network.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    network.eval()
    assert torch.equal(network(x), expected)
    assert not any(isinstance(m, nn.Linear | nn.Conv2d) for m in network.modules())


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, {"fc1", "fc2", "out"}),
        ("fc*", {"fc1", "fc2"}),
        ("!out", {"fc1", "fc2"}),
        (["fc1", "out"], {"fc1", "out"}),
        (["fc*", "!fc1"], {"fc2"}),
    ],
)
def test_patterns(only, expected):
    network = convert(build_network(MLP, (4,), 3), Dropout, only)
    assert {n for n, m in network.named_modules() if isinstance(m, Dropout)} == expected


def test_two_calls_give_layers_different_options():
    network = convert(build_network(MLP, (4,), 3), functools.partial(Dropout, keep=0.8), "fc1")
    convert(network, Dropout)
    assert [network.fc1.keep, network.fc2.keep, network.out.keep] == [0.8, 0.5, 0.5]


def test_nested_shared_bias_free_and_single_layers():
    shared = nn.Linear(4, 4, bias=False)
    network = nn.Sequential(nn.Sequential(shared, nn.ReLU()), shared, nn.Linear(4, 2))
    network.eval()
    convert(network, SparseVD)
    assert network[0][0] is network[1]
    assert network[1].bias is None
    assert not network[2].training  # the mode stays
    torch.testing.assert_close(kl(network), network[1].kl() + network[2].kl())  # one posterior, counted once
    assert isinstance(convert(nn.Linear(2, 2), Dropout), Dropout)


def test_after_batch_normalisation():
    network = convert(add_normalisation(build_network(MLP, (4,), 3), "batch"), MeanField, "*.layer")
    assert network.fc1.layer.bias is None
    assert isinstance(network.out, nn.Linear)
    assert network(torch.randn(5, 4)).shape == (5, 3)


def test_refusals():
    with pytest.raises(ConfigError, match=r"only=fc9,!out matches none.*layers: fc1, fc2, out\."):
        convert(build_network(MLP, (4,), 3), Dropout, ["fc9", "!out"])
    with pytest.raises(ConfigError, match=r"layers: \(none\)"):
        convert(nn.Sequential(nn.ReLU()), Dropout)
    with pytest.raises(ConfigError, match=r"attention.*cannot be made stochastic"):
        convert(nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)}), Dropout)
    with pytest.raises(ConfigError, match="No layer has an α"):
        sparsity(convert(build_network(MLP, (4,), 3), Dropout))


def test_kl_is_the_sum_over_layers_and_weights():
    network = convert(build_network(MLP, (4,), 3), functools.partial(VariationalDropout, alpha=0.3), "fc*")
    weights = 4 * 6 + 6 * 5
    torch.testing.assert_close(kl(network), weights * forms.cubic(torch.tensor(0.3).log()))
    network(torch.randn(64, 4))
    torch.testing.assert_close(kl(network), weights * forms.cubic(torch.tensor(0.3).log()))
    assert kl(build_network(MLP, (4,), 3)) == 0


def test_sampling_switches_and_restores():
    network, x = convert(build_network(MLP, (4,), 3), MeanField).eval(), torch.randn(5, 4)
    network.out.sample = False
    mean = network(x)
    with sampling(network, True):
        assert not torch.equal(network(x), network(x))
    assert network.out.sample is False
    assert torch.equal(network(x), mean)
    with sampling(network.train(), False):
        assert torch.equal(network(x), mean)
    assert not torch.equal(network(x), mean)


def test_sparsity_by_hand():
    network = convert(build_network(MLP, (4,), 3), SparseVD, "fc*")  # 24 and 30 weights; 15 plain ones in `out`
    with torch.no_grad():
        for layer, dropped in ((network.fc1, 18), (network.fc2, 30)):
            log_alpha = torch.where(torch.arange(layer.weight.numel()) < dropped, 5.0, -4.0).view_as(layer.weight)
            layer.log_sigma2.copy_(log_alpha + layer.weight.square().log())
    total, layers = sparsity(network)
    assert [layers[n].kept for n in ("fc1", "fc2", "out")] == [6, 0, 15]
    assert layers["fc1"].dropped == 0.75
    assert layers["fc1"].compression == 4
    assert layers["fc2"].compression == math.inf
    assert layers["out"].log_alpha == {}
    assert (total.weights, total.kept) == (69, 21)
    assert layers["fc1"].log_alpha[0.05] == pytest.approx(-4, abs=1e-3)
    assert layers["fc1"].log_alpha[0.5] == pytest.approx(5, abs=1e-3)
    network.fc1.threshold = 6.0
    assert sparsity(network)[1]["fc1"].kept == 24


def test_sparsity_counts_a_shared_alpha_for_each_of_its_weights():
    network = convert(build_network(MLP, (4,), 3), functools.partial(VariationalDropout, per="layer", alpha=0.1), "fc1")
    convert(network, functools.partial(VariationalDropout, per="unit", alpha=0.9))
    total, _ = sparsity(network)
    assert total.log_alpha[0.25] == pytest.approx(math.log(0.1))  # 24 of 69
    assert total.log_alpha[0.5] == pytest.approx(math.log(0.9))


def test_kl_and_sparsity_of_a_chain():
    def build():
        return convert(build_network(MLP, (4,), 3), SparseVD)

    chains = Chains(build, [1, 2, 3], torch.device("cpu"))
    alone = Chains(build, [2], torch.device("cpu"))
    stacked = torch.vmap(lambda p: kl(chains.network, p), randomness="different")(chains.parameters)
    torch.testing.assert_close(stacked[1], kl(alone.network))
    second = {name: p[1] for name, p in chains.parameters.items()}
    assert sparsity(chains.network, second) == sparsity(alone.network)
