"""Likelihoods against torch.distributions, over chains, twice differentiable; which head goes with which task."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal

from bnnbench.errors import ConfigError
from bnnbench.tasks.likelihood import Gaussian, Softmax, likelihood_for

K, B, C = 3, 5, 4


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_softmax_nll_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    nll = Softmax(2).nll(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(nll, torch.tensor((math.log(4 / 3) + math.log(2)) / 2))


@pytest.mark.parametrize("lead", [(), (K,), (2, K)])
def test_softmax_nll_over_leading_axes(lead):
    logits, y = torch.randn(*lead, B, C), torch.randint(C, (*lead, B))
    expected = -Categorical(logits=logits).log_prob(y).mean(-1)
    torch.testing.assert_close(Softmax(C).nll(logits, y), expected)


def test_softmax_nll_one_y_for_all_chains():
    logits, y = torch.randn(K, B, C), torch.randint(C, (B,))
    expected = torch.stack([Softmax(C).nll(chain, y) for chain in logits])
    torch.testing.assert_close(Softmax(C).nll(logits, y), expected)


@pytest.mark.parametrize("lead", [(), (K,), (2, K)])
def test_gaussian_nll_over_leading_axes(lead):
    outputs, y = torch.randn(*lead, B, 2), torch.randn(*lead, B)
    mean, rho = outputs.unbind(-1)
    scale = (rho.exp().log1p() + 1e-6).sqrt()
    expected = -Normal(mean, scale).log_prob(y).mean(-1)
    torch.testing.assert_close(Gaussian(True).nll(outputs, y), expected)
    torch.testing.assert_close(Gaussian(False).nll(outputs, y), expected)


def test_gaussian_nll_one_y_for_all_chains():
    outputs, y = torch.randn(K, B, 2), torch.randn(B)
    expected = torch.stack([Gaussian(True).nll(chain, y) for chain in outputs])
    torch.testing.assert_close(Gaussian(True).nll(outputs, y), expected)


def test_gaussian_refuses_a_column_of_targets():
    with pytest.raises(RuntimeError):
        Gaussian(True).nll(torch.randn(B, 2), torch.randn(B, 1))


def test_gaussian_stays_finite_where_the_variance_vanishes():
    outputs = torch.tensor([[0.0, -200.0]], requires_grad=True)
    nll = Gaussian(True).nll(outputs, torch.tensor([0.0]))
    torch.testing.assert_close(nll, torch.tensor(0.5 * math.log(2 * math.pi * 1e-6)))
    nll.backward()
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("lead", [(), (2,)])
def test_gradients_of_first_and_second_order(lead):
    logits = torch.randn(*lead, B, C, dtype=torch.float64, requires_grad=True)
    y = torch.randint(C, (*lead, B))
    assert torch.autograd.gradgradcheck(lambda z: Softmax(C).nll(z, y), logits)
    outputs = torch.randn(*lead, B, 2, dtype=torch.float64, requires_grad=True)
    t = torch.randn(*lead, B, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: Gaussian(True).nll(z, t), outputs)
    assert torch.autograd.gradgradcheck(lambda z: Gaussian(True).nll(z, t), outputs)


@pytest.mark.parametrize("y_axis", [0, None])
def test_under_vmap_as_with_a_leading_axis(y_axis):
    lead = (K,) if y_axis == 0 else ()
    logits, y = torch.randn(K, B, C), torch.randint(C, (*lead, B))
    nll = torch.func.vmap(Softmax(C).nll, in_dims=(0, y_axis))(logits, y)
    torch.testing.assert_close(nll, Softmax(C).nll(logits, y))
    outputs, t = torch.randn(K, B, 2), torch.randn(*lead, B)
    nll = torch.func.vmap(Gaussian(True).nll, in_dims=(0, y_axis))(outputs, t)
    torch.testing.assert_close(nll, Gaussian(True).nll(outputs, t))


def test_predict():
    probabilities = Softmax(2).predict(torch.tensor([[[0.0, math.log(3.0)]]]))
    torch.testing.assert_close(probabilities, torch.tensor([[[0.25, 0.75]]]))
    predicted = Gaussian(True).predict(torch.tensor([[2.0, math.log(math.e - 1)], [3.0, -200.0]]))
    torch.testing.assert_close(predicted, torch.tensor([[2.0, 1.0 + 1e-6], [3.0, 1e-6]]))


def test_homoscedastic_network_learns_one_variance():
    likelihood = Gaussian(heteroscedastic=False)
    assert likelihood.outputs == 1
    network = likelihood.wrap(nn.Linear(3, likelihood.outputs))
    x = torch.randn(2000, 3)
    outputs = network(x)
    assert outputs.shape == (2000, 2)
    mean, variance = likelihood.predict(outputs).unbind(-1)
    torch.testing.assert_close(variance, torch.ones(2000), atol=1e-5, rtol=0)
    torch.testing.assert_close(mean, network.network(x).squeeze(-1))

    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.3 * torch.randn(2000)
    optimiser = torch.optim.LBFGS(network.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = likelihood.nll(network(x), y)
        loss.backward()
        return loss

    optimiser.step(closure)
    variance = likelihood.predict(network(x))[0, 1].item()
    assert abs(variance - 0.09) < 5 * 0.09 * math.sqrt(2 / 2000)  # the maximum likelihood estimate has this spread


def test_wrap_is_the_identity_where_nothing_is_to_learn():
    network = nn.Linear(3, 2)
    assert Gaussian(True).wrap(network) is network
    assert Softmax(2).wrap(network) is network


@pytest.mark.parametrize(
    ("task", "classes", "head", "expected", "outputs"),
    [
        ("classification", 10, "auto", Softmax(10), 10),
        ("classification", 2, "softmax", Softmax(2), 2),
        ("regression", None, "auto", Gaussian(False), 1),
        ("regression", None, "homoscedastic", Gaussian(False), 1),
        ("regression", 0, "heteroscedastic", Gaussian(True), 2),
    ],
)
def test_likelihood_for(task, classes, head, expected, outputs):
    likelihood = likelihood_for(task, classes, head)
    assert likelihood == expected
    assert likelihood.outputs == outputs


@pytest.mark.parametrize(
    ("task", "classes", "head", "message"),
    [
        ("classification", 10, "homoscedastic", "does not fit classification"),
        ("classification", 10, "heteroscedastic", "head=softmax"),
        ("regression", None, "softmax", "head=homoscedastic or head=heteroscedastic"),
        ("regression", None, "homoskedastic", "'homoscedastic'"),
        ("regresion", None, "auto", "'regression'"),
        ("classification", None, "auto", "two classes"),
        ("classification", 1, "auto", "two classes"),
    ],
)
def test_mismatches(task, classes, head, message):
    with pytest.raises(ConfigError, match=message):
        likelihood_for(task, classes, head)
