"""The way back: stochastic layers replaced by plain ones."""

import pytest
import torch
from torch import nn

from bnnbench.layers.conversion import convert, deconvert, mean_weight
from bnnbench.layers.dropout import Dropout
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.normalisation import add_normalisation
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.models import build_network

MLP = {"name": "mlp", "widths": [6, 5]}


@pytest.mark.parametrize("padding", [1, (2, 0), "same", "valid"])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
def test_padding_survives_even_where_the_two_sides_differ(padding, mode):
    convolution = nn.Conv2d(2, 3, (4, 3), padding=padding, padding_mode=mode)
    x = torch.randn(2, 2, 7, 6)
    expected = convolution(x)
    assert torch.equal(deconvert(convert(convolution, Dropout))(x), expected)


def test_dropped_weights_are_exactly_zero_and_the_mean_stays():
    network = convert(build_network(MLP, (4,), 3), SparseVD, "fc*").eval()
    with torch.no_grad():
        network.fc1.log_sigma2[:, :3] = 5.0
    theta, dropped, x = network.fc1.weight.detach().clone(), ~network.fc1.kept(), torch.randn(8, 4)
    assert dropped[:, :3].all() and not dropped[:, 3:].any()
    expected = network(x)
    deconvert(network)
    assert [type(m) for m in (network.fc1, network.fc2, network.out)] == [nn.Linear] * 3
    assert torch.equal(network.fc1.weight, torch.where(dropped, 0.0, theta))
    assert torch.equal(network(x), expected)


def test_the_weight_can_be_chosen_and_is_a_copy():
    layer = SparseVD(nn.Linear(4, 3), threshold=-8.0)
    with torch.no_grad():
        layer.log_sigma2.fill_(0.0)
    theta = layer.weight
    assert not mean_weight(layer).any()
    back = deconvert(layer, weight_of=lambda layer: layer.weight)
    assert torch.equal(back.weight, theta)
    assert back.weight is not theta and back.weight.data_ptr() != theta.data_ptr()


def test_shared_layers_modes_biases_and_normalisation_stay():
    shared = nn.Linear(4, 4, bias=False)
    network = nn.Sequential(nn.Sequential(shared, nn.ReLU()), shared, nn.Linear(4, 2))
    network[2].eval()
    deconvert(convert(network, MeanField))
    assert network[0][0] is network[1]
    assert network[1].bias is None
    assert network[1].training and not network[2].training
    normalised = add_normalisation(build_network(MLP, (4,), 3), "batch")
    names = list(normalised.state_dict())
    assert list(deconvert(convert(normalised, SparseVD)).state_dict()) == names


def test_a_plain_network_stays_as_it_is():
    network = build_network({"name": "lenet5"}, (1, 16, 16), 3)
    before = dict(network.named_modules())
    assert deconvert(network) is network
    assert dict(network.named_modules()) == before
