"""Ū: scaled once, the same for every batch size, its prior where it belongs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bnnbench.inference.chains import Chains
from bnnbench.inference.potential import Potential
from bnnbench.priors.base import Prior
from bnnbench.priors.flat import Flat
from bnnbench.priors.gaussian import Gaussian
from bnnbench.priors.laplace import Laplace
from bnnbench.tasks.classification import Classification
from bnnbench.tasks.regression import Regression

N, CLASSES = 60, 3
CPU = torch.device("cpu")
ALL = ("weight", "bias", "norm")


def make(prior: Prior, on: tuple[str, ...] = ALL, chains: int = 1) -> Potential:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, CLASSES)).double()

    return Potential(Chains(build, list(range(chains)), CPU), Classification(CLASSES), prior, on, N)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, 4, dtype=torch.float64, generator=generator), torch.randint(
        CLASSES, (N,), generator=generator
    )


def test_the_loss_is_the_mean_negative_log_likelihood_whatever_the_batch_size() -> None:
    potential, (x, y) = make(Flat()), data()
    potential.chains.network.eval()  # a batch's statistics would tie its data together
    whole = potential(x[None], y[None]).item()
    parts = [potential(x[None, i : i + 10], y[None, i : i + 10]).item() for i in range(0, N, 10)]
    assert whole == pytest.approx(sum(parts) / len(parts), rel=1e-12)
    probabilities = potential.chains(x, shared=True)[0].softmax(-1)
    assert whole == pytest.approx(-probabilities[torch.arange(N), y].log().mean().item(), rel=1e-12)


def test_a_gaussian_prior_is_the_weight_decay_of_its_gradient() -> None:
    s2 = 0.3
    potential = make(Gaussian(s2))
    (group,) = potential.groups(ALL, temperature=1.0)
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    (-torch.distributions.Normal(0, math.sqrt(s2)).log_prob(theta) / N).backward()
    assert group["weight_decay"] * 0.7 == pytest.approx(theta.grad.item(), rel=1e-7)
    x, y = data()
    assert torch.equal(potential(x[None], y[None]), make(Flat())(x[None], y[None]))  # and no part of the loss


def test_a_laplace_prior_is_part_of_the_loss_with_the_variance_asked_for() -> None:
    s2 = 0.5
    potential = make(Laplace(s2), chains=2)
    x, y = (t.expand(2, *t.shape) for t in data())
    added = potential(x, y) - make(Flat(), chains=2)(x, y)
    law = torch.distributions.Laplace(torch.zeros((), dtype=torch.float64), math.sqrt(s2 / 2))
    assert law.variance.item() == pytest.approx(s2)
    for k in range(2):
        values = torch.cat([p[k].reshape(-1) for p in potential.chains.parameters.values()])
        zero = law.log_prob(torch.zeros_like(values)).sum()  # the normalising constant is no part of Ū's gradient
        assert added[k].item() == pytest.approx(-(law.log_prob(values).sum() - zero).item() / N, rel=1e-9)
    assert all(g["weight_decay"] == 0 for g in potential.groups(ALL, None))


@pytest.mark.parametrize("prior", [Gaussian(1e-4), Laplace(1e-4), Flat()])
def test_the_noise_level_of_a_regression_has_a_prior_of_its_own(prior: Prior) -> None:
    task, x, y = Regression(), torch.randn(2, 5, 4), torch.randn(2, 5)
    chains = Chains(lambda: task.wrap(nn.Linear(4, 1)), [0, 1], CPU)
    potential = Potential(chains, task, prior, ALL, N)
    rho = chains.parameters["rho"]
    with torch.no_grad():
        rho.copy_(torch.tensor([[1.0], [-2.0]]))
    before = potential(x, y)
    (given,) = torch.autograd.grad(before.sum(), rho)
    (likelihood,) = torch.autograd.grad(task.loss(chains(x), y).sum(), rho)
    torch.testing.assert_close(given - likelihood, rho.detach() / (9 * N))  # N(0, 3²), whatever the weights have
    (group,) = [
        g for g in potential.groups(("weight", "bias", "likelihood"), 1.0) if any(p is rho for p in g["params"])
    ]
    assert (group["weight_decay"], group["temperature"]) == (0.0, 1.0)


def test_groups_say_which_parameters_carry_prior_and_noise() -> None:
    potential = make(Gaussian(1.0), on=("weight",))
    groups = potential.groups(("weight", "bias"), temperature=0.5)
    names = {id(p): n for n, p in potential.chains.parameters.items()}
    found = {tuple(names[id(p)] for p in g["params"]): (g["weight_decay"] > 0, g["temperature"]) for g in groups}
    assert found == {
        ("0.weight", "3.weight"): (True, 0.5),
        ("0.bias", "3.bias"): (False, 0.5),
        ("1.weight", "1.bias"): (False, 0.0),
    }
    assert all("temperature" not in g for g in potential.groups(ALL, None))


def test_chains_do_not_touch_each_other() -> None:
    potential = make(Flat(), chains=3)
    x, y = (t.expand(3, *t.shape) for t in data())
    potential(x, y)[1].backward()
    for p in potential.chains.parameters.values():
        assert p.grad[0].abs().max() == 0
        assert p.grad[2].abs().max() == 0
    assert any(p.grad[1].abs().max() > 0 for p in potential.chains.parameters.values())
