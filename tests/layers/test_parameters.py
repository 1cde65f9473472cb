"""Which kind each parameter is of, and which have their prior in a KL."""

import pytest
import torch
from torch import nn

from bnnbench.layers.conversion import convert
from bnnbench.layers.dropout import Dropout
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.network import covered_by_kl, kl, likelihood_std, parameter_kinds
from bnnbench.layers.normalisation import add_normalisation
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.layers.vd import VariationalDropout
from bnnbench.models import build_network
from bnnbench.tasks.regression import Regression


class Twice(nn.Module):
    """A network that uses one layer twice."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.again = self.shared
        self.head = nn.Linear(4, 3)


def test_parameter_kinds():
    network = add_normalisation(build_network({"name": "mlp", "widths": [6]}, (4,), 3), "layer")
    network.register_parameter("rho", nn.Parameter(torch.zeros(1)))
    assert parameter_kinds(network) == {
        "rho": "weight",
        "fc1.layer.weight": "weight",
        "fc1.layer.bias": "bias",
        "fc1.norm.weight": "norm",
        "fc1.norm.bias": "norm",
        "out.weight": "weight",
        "out.bias": "bias",
    }
    assert list(parameter_kinds(network)) == [name for name, _ in network.named_parameters()]


def test_parameter_kinds_lists_a_shared_parameter_once():
    assert list(parameter_kinds(Twice())) == ["shared.weight", "shared.bias", "head.weight", "head.bias"]


def test_parameters_of_q_are_variational_and_its_weights_have_their_prior_in_the_kl():
    make = {"a": SparseVD, "b": VariationalDropout, "c": MeanField, "d": Dropout}
    network = nn.ModuleDict({name: layer(nn.Linear(3, 2)) for name, layer in make.items()})
    network["e"] = MeanField(nn.Linear(3, 2), random_bias=False)
    kinds = parameter_kinds(network)
    assert list(kinds) == [name for name, _ in network.named_parameters()]
    variational = {name for name, kind in kinds.items() if kind == "variational"}
    assert variational == {"a.log_sigma2", "b.log_alpha", "c.rho", "c.bias_rho", "e.rho"}
    assert {name for name, kind in kinds.items() if kind == "bias"} == {f"{name}.bias" for name in "abcde"}
    plain = {"a.weight", "b.weight", "c.weight", "c.bias", "e.weight"}
    assert covered_by_kl(network) == variational | plain  # not the biases that are no random variables


class Wrapped(nn.Module):
    """A layer of the user's own around a plain one, whose parameters are therefore a child's."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.rho = layer, nn.Parameter(torch.zeros(()))

    def kl(self):
        return self.layer.weight.square().sum() * self.rho.exp()


def test_a_kl_covers_what_the_module_contains():
    network = nn.Sequential(Wrapped(nn.Linear(3, 2)), nn.Linear(2, 1))
    assert covered_by_kl(network) == {"0.rho", "0.layer.weight", "0.layer.bias"}
    assert parameter_kinds(network)["0.rho"] == "variational"
    assert parameter_kinds(network)["0.layer.weight"] == "weight"
    network[0].kl_covers = ("layer.weight",)
    assert covered_by_kl(network) == {"0.layer.weight"}
    assert kl(network).item() == pytest.approx(network[0].layer.weight.square().sum().item())


def test_a_network_that_sums_the_kl_of_its_layers_is_not_counted_twice():
    class Summing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(MeanField(nn.Linear(3, 3), random_bias=False) for _ in range(2))
            self.head = nn.Linear(3, 1)

        def kl(self):
            return sum(layer.kl() for layer in self.layers)

    network = Summing()
    assert kl(network).item() == pytest.approx(sum(layer.kl().item() for layer in network.layers))
    assert covered_by_kl(network) == {f"layers.{i}.{leaf}" for i in range(2) for leaf in ("weight", "rho")}


def test_the_parameters_of_a_likelihood_are_neither_weights_nor_variational():
    network = Regression().wrap(nn.Sequential(MeanField(nn.Linear(3, 1))))
    assert parameter_kinds(network)["rho"] == "likelihood"
    assert "rho" not in covered_by_kl(network)
    assert likelihood_std(network) == {"rho": 3.0}


def test_a_layer_of_the_users_own_covers_all_its_parameters_unless_it_says_otherwise():
    class Mine(nn.Linear):
        def kl(self):
            return self.weight.square().sum()

    network = convert(nn.Sequential(nn.Linear(3, 2)), lambda layer: Mine(3, 2))
    assert covered_by_kl(network) == {"0.weight", "0.bias"}
    network[0].kl_covers = ("weight",)
    assert covered_by_kl(network) == {"0.weight"}
