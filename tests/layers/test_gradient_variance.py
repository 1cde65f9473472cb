"""How noisy the gradients are: what the local reparameterisation and the additive parametrisation are for."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from bnnbench.layers.conversion import convert
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.models import build_network


def gradients(network, loss, repeats):
    """Return parameter name → gradients [repeats, *shape] of `loss` (parameters → scalar), each with fresh noise."""
    parameters = dict(network.named_parameters())
    stacked = {n: p.detach().expand(repeats, *p.shape).clone().requires_grad_() for n, p in parameters.items()}
    losses = torch.vmap(loss, randomness="different")(stacked)
    return dict(zip(stacked, torch.autograd.grad(losses.sum(), list(stacked.values())), strict=True))


@pytest.fixture(scope="module")
def variance_by_estimator():
    """Return estimator → parameter name → variance of the minibatch gradient, averaged over the elements."""
    data, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(data[:100] / 16, dtype=torch.float32), torch.tensor(labels[:100])
    torch.manual_seed(0)
    plain = build_network({"name": "mlp", "widths": [32]}, (64,), 10)
    found = {}
    for estimator in ("local", "separate", "single"):
        torch.manual_seed(1)
        network = build_network({"name": "mlp", "widths": [32]}, (64,), 10)
        network.load_state_dict(plain.state_dict())
        convert(network, functools.partial(MeanField, estimator=estimator, init_std=0.1))

        def loss(parameters, network=network):
            return F.cross_entropy(torch.func.functional_call(network, parameters, (x,)), y)

        found[estimator] = {n: g.var(0).mean().item() for n, g in gradients(network, loss, 300).items()}
    return found


@pytest.mark.parametrize("name", ["fc1.rho", "out.rho"])
def test_local_below_separate_below_single(variance_by_estimator, name):
    local, separate, single = (variance_by_estimator[e][name] for e in ("local", "separate", "single"))
    # Averaged over hundreds of elements the variances are known to a few per cent; the ratios are far from 1.
    assert local < 0.8 * separate
    assert separate < 0.5 * single


@pytest.mark.parametrize("name", ["fc1.weight", "out.weight"])
def test_the_mean_gains_from_not_sharing_noise(variance_by_estimator, name):
    local, separate, single = (variance_by_estimator[e][name] for e in ("local", "separate", "single"))
    # For the mean of the last layer local and separate have the same law: ∂L/∂y · x, at the same law of y.
    assert local < 1.1 * separate
    assert separate < 0.5 * single


def test_estimators_agree_on_the_expected_gradient():
    torch.manual_seed(0)
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    plain, found = nn.Linear(3, 2).double(), {}
    for estimator in ("local", "separate", "single"):
        layer = MeanField(plain, estimator=estimator, init_std=0.5)

        def loss(parameters, layer=layer):
            return (torch.func.functional_call(layer, parameters, (x,)) - y).square().sum()

        found[estimator] = gradients(layer, loss, 20_000)
    for name in found["local"]:
        for other in ("separate", "single"):
            a, b = found["local"][name], found[other][name]
            error = ((a.var(0) + b.var(0)) / len(a)).sqrt()
            assert ((a.mean(0) - b.mean(0)).abs() < 5 * error).all()


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 2.0, 4.0])
def test_multiplicative_over_additive_is_one_plus_alpha(log_alpha):
    # With the same ∂L/∂y = g, independent of the noise: ∂L/∂θ is g x (additive) or g x (1 + √α ε) (multiplicative),
    # so for E g = 0 the variances have the ratio E(1 + √α ε)² = 1 + α.
    torch.manual_seed(0)
    data = 200_000
    x, g = torch.ones(data, 1, dtype=torch.float64), torch.randn(data, 1, dtype=torch.float64)
    per_datum = {}
    for parametrisation in ("additive", "multiplicative"):
        layer = SparseVD(nn.Linear(1, 1).double(), parametrisation)
        with torch.no_grad():
            layer.weight.fill_(0.7)
            if parametrisation == "additive":
                layer.log_sigma2.fill_(log_alpha + 2 * math.log(0.7))
            else:
                layer.log_alpha.fill_(log_alpha)
        # One weight per datum makes every datum's gradient visible: the weights of all data, one element each.
        weight = layer.weight.detach().expand(data, 1, 1).clone().requires_grad_()

        def one(w, x, g, layer=layer):
            return (g * torch.func.functional_call(layer, {"weight": w}, (x,))).sum()

        losses = torch.vmap(one, randomness="different")(weight, x, g)
        per_datum[parametrisation] = torch.autograd.grad(losses.sum(), weight)[0].flatten()
    ratio = per_datum["multiplicative"].var() / per_datum["additive"].var()
    squares = per_datum["multiplicative"].square()
    error = squares.std() / data**0.5  # of the numerator; the denominator is 1 up to a smaller error
    assert abs(ratio.item() - (1 + math.exp(log_alpha))) < 5 * (error.item() + ratio.item() * (2 / data) ** 0.5)
