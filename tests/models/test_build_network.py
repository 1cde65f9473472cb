"""Every architecture and every yaml of conf/model; names and options that must be refused."""

import inspect
import math
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from bnnbench.config import plugins
from bnnbench.errors import ConfigError
from bnnbench.models import build_network, check_model

CONF = sorted((Path(__file__).parents[2] / "conf" / "model").glob("*.yaml"))
IMAGE = (1, 28, 28)


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("path", CONF, ids=lambda p: p.stem)
def test_every_yaml_builds_a_network_that_trains(path):
    model = load(path)
    if model.get("widths") == "${dataset.budget.widths}":
        model["widths"] = [400, 400]
    check_model(model)
    assert model["label"]
    torch.manual_seed(0)
    network = build_network(model, IMAGE, 10)
    outputs = network(torch.randn(3, *IMAGE))
    assert outputs.shape == (3, 10)
    outputs.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_every_architecture_has_a_yaml():
    assert {load(p)["name"] for p in CONF} == set(plugins.names("models"))


def test_defaults_in_the_code_are_those_of_the_yaml_of_that_name():
    for name in plugins.names("models"):
        given = load(Path(__file__).parents[2] / "conf" / "model" / f"{name}.yaml")
        for option, parameter in inspect.signature(
            plugins.function("models", name, "build", takes=("in_shape", "outputs"))
        ).parameters.items():
            if parameter.default is not parameter.empty:
                assert given[option] == parameter.default


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ({"name": "logistic"}, 784 * 10 + 10),
        ({"name": "mlp", "widths": [400, 400]}, 784 * 400 + 400 + 400 * 400 + 400 + 400 * 10 + 10),
        ({"name": "lenet_300_100"}, 266_610),  # the number known from the pruning literature
        ({"name": "lenet5"}, 431_080),  # likewise
        ({"name": "cnn"}, 25 * 32 + 32 + 25 * 32 * 64 + 64 + 64 * 49 * 200 + 200 + 200 * 200 + 200 + 2010),
        (
            {"name": "cnn", "padding": 0},
            25 * 32 + 32 + 25 * 32 * 64 + 64 + 64 * 16 * 200 + 200 + 200 * 200 + 200 + 2010,
        ),
    ],
)
def test_number_of_parameters(model, parameters):
    network = build_network(model, IMAGE, 10)
    assert count(network) == parameters
    assert network(torch.zeros(2, *IMAGE)).shape == (2, 10)


def test_mlp_by_hand():
    network = build_network({"name": "mlp", "widths": [2], "activation": "tanh"}, (2,), 1)
    with torch.no_grad():
        network.fc1.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, -1.0]]))
        network.fc1.bias.copy_(torch.tensor([0.0, 0.5]))
        network.out.weight.copy_(torch.tensor([[1.0, 2.0]]))
        network.out.bias.fill_(0.25)
    output = network(torch.tensor([[0.3, -0.2]])).item()
    assert output == pytest.approx(math.tanh(0.3) + 2 * math.tanh(1.0) + 0.25, rel=1e-6)


def test_lenet5_has_relu_after_both_convolutions():
    """The Sparse VD code has, Caffe has not: with all convolutions negative everything after them is the biases'."""
    network = build_network({"name": "lenet5"}, IMAGE, 10)
    with torch.no_grad():
        network.conv1.bias.fill_(-100.0)
        network.conv2.bias.fill_(-100.0)
    x = torch.rand(2, *IMAGE)
    expected = network.out(network.fc1.bias.relu()).expand(2, 10)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("in_shape", [(13,), (3, 5), (2, 4, 6)])
@pytest.mark.parametrize("name", ["logistic", "lenet_300_100"])
def test_dense_networks_flatten_any_input(name, in_shape):
    assert build_network({"name": name}, in_shape, 2)(torch.randn(4, *in_shape)).shape == (4, 2)


@pytest.mark.parametrize(("name", "smallest"), [("lenet5", 16), ("cnn", 4)])
def test_smallest_image(name, smallest):
    network = build_network({"name": name}, (3, smallest, smallest + 5), 7)
    assert network(torch.randn(2, 3, smallest, smallest + 5)).shape == (2, 7)
    with pytest.raises(ConfigError, match=rf"{smallest}×{smallest} or more"):
        build_network({"name": name}, (3, smallest + 5, smallest - 1), 7)


@pytest.mark.parametrize("name", ["lenet5", "cnn"])
def test_convolutions_refuse_flat_inputs(name):
    with pytest.raises(ConfigError, match=r"needs images .* not inputs of shape \[784\]"):
        build_network({"name": name}, (784,), 10)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, "model.name"),
        ({"name": "mpl", "widths": [3]}, "'mlp'"),
        ({"name": "_init"}, "no '_init'"),
        ({"name": "mlp", "width": [3]}, "widths"),
        ({"name": "mlp"}, "widths"),
        ({"name": "mlp", "widths": []}, "model.widths"),
        ({"name": "mlp", "widths": [0]}, "model.widths"),
        ({"name": "mlp", "widths": ["many"]}, "model.widths"),
        ({"name": "mlp", "widths": [3], "activation": "rule"}, "relu"),
        ({"name": "logistic", "widths": [3]}, "no such option"),
        ({"name": "logistic", "init": "glorto"}, "'glorot'"),
        ({"name": "cnn", "padding": -1}, "model.padding"),
        ({"name": "logistic", "in_shape": [3]}, "no such option"),
    ],
)
def test_wrong_descriptions_are_refused_before_and_at_building(model, message):
    with pytest.raises(ConfigError, match=message):
        check_model(model)
    with pytest.raises(ConfigError, match=message):
        build_network(model, IMAGE, 10)


def test_the_description_is_left_as_it_was():
    model = {"name": "mlp", "label": "MLP", "init": "he", "widths": [3]}
    build_network(model, (2,), 1)
    assert model == {"name": "mlp", "label": "MLP", "init": "he", "widths": [3]}


OWN = """
from torch import nn
def build(in_shape, outputs, *, scale: float = 1.0):
    network = nn.Linear(in_shape[0], outputs)
    network.scale = scale
    return network
class Wide(nn.Linear):
    def __init__(self, in_shape, outputs, *, bias: bool = True):
        super().__init__(in_shape[0], outputs, bias)
def nothing(in_shape, outputs):
    return 3
"""


@pytest.fixture
def own_module(user_package):
    user_package("mine_pkg", net=OWN)
    return "mine_pkg.net"


def test_a_users_module_by_its_dotted_name(own_module):
    network = build_network({"name": own_module, "scale": 2, "init": "glorot"}, (5,), 3)
    assert network.weight.shape == (3, 5)
    assert network.scale == 2.0
    assert not network.bias.any()  # glorot reached it
    with pytest.raises(ConfigError, match="scale"):
        check_model({"name": own_module, "scal": 2})


def test_a_users_class_by_its_dotted_name(own_module):
    network = build_network({"name": f"{own_module}.Wide", "bias": False}, (5,), 3)
    assert isinstance(network, nn.Linear)
    assert network.bias is None


def test_a_users_function_that_returns_no_network(own_module):
    with pytest.raises(ConfigError, match="returned a int"):
        build_network({"name": f"{own_module}.nothing"}, (5,), 3)
