"""Likelihoods against torch.distributions, over chains, twice differentiable; which head goes with which task."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal

from bnnbench.errors import ConfigError
from bnnbench.tasks.classification import Classification
from bnnbench.tasks.from_config import make_task
from bnnbench.tasks.regression import Regression

K, B, C = 3, 5, 4


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_softmax_nll_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    nll = Classification(2).nll(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(nll, torch.tensor((math.log(4 / 3) + math.log(2)) / 2))


@pytest.mark.parametrize("lead", [(), (K,), (2, K)])
def test_softmax_nll_over_leading_axes(lead):
    logits, y = torch.randn(*lead, B, C), torch.randint(C, (*lead, B))
    expected = -Categorical(logits=logits).log_prob(y).mean(-1)
    torch.testing.assert_close(Classification(C).nll(logits, y), expected)


def test_softmax_nll_one_y_for_all_chains():
    logits, y = torch.randn(K, B, C), torch.randint(C, (B,))
    expected = torch.stack([Classification(C).nll(chain, y) for chain in logits])
    torch.testing.assert_close(Classification(C).nll(logits, y), expected)


@pytest.mark.parametrize("lead", [(), (K,), (2, K)])
def test_gaussian_nll_over_leading_axes(lead):
    outputs, y = torch.randn(*lead, B, 2), torch.randn(*lead, B)
    mean, rho = outputs.unbind(-1)
    scale = (rho.exp().log1p() + 1e-6).sqrt()
    expected = -Normal(mean, scale).log_prob(y).mean(-1)
    torch.testing.assert_close(Regression(head="heteroscedastic").nll(outputs, y), expected)
    torch.testing.assert_close(Regression().nll(outputs, y), expected)


def test_gaussian_nll_one_y_for_all_chains():
    outputs, y = torch.randn(K, B, 2), torch.randn(B)
    expected = torch.stack([Regression(head="heteroscedastic").nll(chain, y) for chain in outputs])
    torch.testing.assert_close(Regression(head="heteroscedastic").nll(outputs, y), expected)


def test_gaussian_refuses_a_column_of_targets():
    with pytest.raises(RuntimeError):
        Regression(head="heteroscedastic").nll(torch.randn(B, 2), torch.randn(B, 1))


def test_gaussian_stays_finite_where_the_variance_vanishes():
    outputs = torch.tensor([[0.0, -200.0]], requires_grad=True)
    nll = Regression(head="heteroscedastic").nll(outputs, torch.tensor([0.0]))
    torch.testing.assert_close(nll, torch.tensor(0.5 * math.log(2 * math.pi * 1e-6)))
    nll.backward()
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("lead", [(), (2,)])
def test_gradients_of_first_and_second_order(lead):
    logits = torch.randn(*lead, B, C, dtype=torch.float64, requires_grad=True)
    y = torch.randint(C, (*lead, B))
    assert torch.autograd.gradgradcheck(lambda z: Classification(C).nll(z, y), logits)
    outputs = torch.randn(*lead, B, 2, dtype=torch.float64, requires_grad=True)
    t = torch.randn(*lead, B, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: Regression(head="heteroscedastic").nll(z, t), outputs)
    assert torch.autograd.gradgradcheck(lambda z: Regression(head="heteroscedastic").nll(z, t), outputs)


@pytest.mark.parametrize("y_axis", [0, None])
def test_under_vmap_as_with_a_leading_axis(y_axis):
    lead = (K,) if y_axis == 0 else ()
    logits, y = torch.randn(K, B, C), torch.randint(C, (*lead, B))
    nll = torch.func.vmap(Classification(C).nll, in_dims=(0, y_axis))(logits, y)
    torch.testing.assert_close(nll, Classification(C).nll(logits, y))
    outputs, t = torch.randn(K, B, 2), torch.randn(*lead, B)
    nll = torch.func.vmap(Regression(head="heteroscedastic").nll, in_dims=(0, y_axis))(outputs, t)
    torch.testing.assert_close(nll, Regression(head="heteroscedastic").nll(outputs, t))


def test_predict():
    probabilities = Classification(2).predict(torch.tensor([[[0.0, math.log(3.0)]]]))
    torch.testing.assert_close(probabilities, torch.tensor([[[0.25, 0.75]]]))
    predicted = Regression(head="heteroscedastic").predict(torch.tensor([[2.0, math.log(math.e - 1)], [3.0, -200.0]]))
    torch.testing.assert_close(predicted, torch.tensor([[2.0, 1.0 + 1e-6], [3.0, 1e-6]]))


def test_homoscedastic_network_learns_one_variance():
    likelihood = Regression()
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
    assert Regression(head="heteroscedastic").wrap(network) is network
    assert Classification(2).wrap(network) is network


def make(name, classes, head):
    return make_task({"name": "auto", "head": head}, dataset="some", default=name, classes=classes)


@pytest.mark.parametrize(
    ("name", "classes", "head", "expected", "outputs"),
    [
        ("classification", 10, "auto", "softmax", 10),
        ("classification", 2, "softmax", "softmax", 2),
        ("regression", None, "auto", "homoscedastic", 1),
        ("regression", None, "homoscedastic", "homoscedastic", 1),
        ("regression", None, "heteroscedastic", "heteroscedastic", 2),
    ],
)
def test_the_head_decides_how_wide_the_network_is(name, classes, head, expected, outputs):
    task = make(name, classes, head)
    assert (task.name, task.head, task.outputs) == (name, expected, outputs)
    assert make_task(task.options, dataset="some", default=name, classes=classes).head == expected


def test_the_configuration_may_name_another_task_than_the_dataset():
    task = make_task({"name": "regression", "head": "auto"}, dataset="some", default="classification", classes=None)
    assert task.name == "regression"


@pytest.mark.parametrize(
    ("name", "classes", "head", "message"),
    [
        ("classification", 10, "homoscedastic", "task.head=homoscedastic: input should be 'softmax'"),
        ("regression", None, "softmax", "task.head=softmax: input should be 'homoscedastic' or 'heteroscedastic'"),
        ("regression", None, "homoskedastic", "Did you mean 'homoscedastic'"),
        ("regresion", None, "auto", "task.name=regresion: no such choice. Did you mean 'regression'"),
        ("classification", None, "auto", "'some' has CLASSES = None; for classification it must be an integer of at"),
        ("classification", 1, "auto", "'some' has CLASSES = 1; for classification"),
        ("regression", 3, "auto", "'some' has CLASSES = 3; for regression it must be None"),
    ],
)
def test_mismatches(name, classes, head, message):
    with pytest.raises(ConfigError, match=message):
        make(name, classes, head)


@pytest.mark.parametrize("lead", [(), (K,), (2, K)])
def test_one_logit_is_the_log_odds(lead):
    task, logit, y = Classification(2, head="sigmoid"), torch.randn(*lead, B, 1), torch.randint(2, (B,))
    assert task.outputs == 1
    expected = -torch.distributions.Bernoulli(logits=logit.squeeze(-1)).log_prob(y.float().expand(*lead, B)).mean(-1)
    torch.testing.assert_close(task.nll(logit, y), expected)
    p = task.predict(logit)
    torch.testing.assert_close(p.sum(-1), torch.ones(*lead, B))
    torch.testing.assert_close((p[..., 1] / p[..., 0]).log(), logit.squeeze(-1))
    two = Classification(2).nll(torch.cat([torch.zeros_like(logit), logit], -1), y)  # the difference of two logits
    torch.testing.assert_close(task.nll(logit, y), two)


def test_one_logit_keeps_certain_predictions_apart():
    p = Classification(2, head="sigmoid").predict(torch.tensor([[60.0], [-60.0]], dtype=torch.float64))
    assert p[0, 0].item() == pytest.approx(math.exp(-60), rel=1e-9) == p[1, 1].item()


def test_one_logit_is_for_two_classes():
    with pytest.raises(ConfigError, match=r"CLASSES = 3; task\.head=sigmoid is for two\. Take task\.head=softmax"):
        make_task({"name": "auto", "head": "sigmoid"}, dataset="x", default="classification", classes=3)
