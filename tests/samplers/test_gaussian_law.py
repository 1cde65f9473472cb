"""SGLD and pSGLD against the exact stationary law of their discrete chains, full batch and minibatch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.laws import assert_gaussian_sample, stationary_variance

from bnnbench.samplers import PSGLD, SGLD

COPIES = 100_000  # independent one-dimensional chains, the coordinates of one parameter
STEPS = 80  # (1 − ελ/2)^(2·80) < 1e-20: stationary
N = 50
PRIOR_VARIANCE = 0.1
PRECISION = N + 1 / PRIOR_VARIANCE  # λ of the posterior of the mean of N data with variance 1
BATCH = 5


def posterior_mean(data: torch.Tensor) -> float:
    return data.sum().item() / PRECISION


def make_data() -> torch.Tensor:
    return torch.randn(N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 + 1


def run_chain(optimiser: torch.optim.Optimizer, theta: torch.Tensor, data: torch.Tensor, batch: int | None) -> None:
    """Make STEPS steps on the mean NLL of y ~ N(θ, 1); the prior comes by weight decay."""
    generator = torch.Generator().manual_seed(3)
    for step in range(STEPS):
        if batch is None or step == 0:  # the first gradient is common to all copies: it may set a preconditioner
            loss = 0.5 * ((theta - data.mean()) ** 2).sum()
        else:
            index = torch.randint(N, (COPIES, batch), generator=generator)
            loss = 0.5 * ((theta - data[index].mean(1)) ** 2).sum()  # the mean over the batch but for a constant
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("batch", [None, BATCH], ids=["full", "minibatch"])
def test_sgld_has_the_law_of_its_discrete_chain(temperature: float, batch: int | None) -> None:
    torch.manual_seed(0)
    data, lr = make_data(), 0.25
    theta = torch.nn.Parameter(torch.zeros(COPIES, dtype=torch.float64))
    decay = 1 / (N * PRIOR_VARIANCE)
    run_chain(SGLD([theta], lr, N, temperature=temperature, weight_decay=decay), theta, data, batch)
    c = 0.0 if batch is None else N**2 * data.var(correction=0).item() / batch
    expected = stationary_variance(2 * lr / N, PRECISION, temperature, c)
    assert_gaussian_sample(theta.detach().numpy(), posterior_mean(data), expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("batch", [None, BATCH], ids=["full", "minibatch"])
def test_psgld_with_a_fixed_preconditioner_has_the_law_of_its_discrete_chain(
    temperature: float, batch: int | None
) -> None:
    torch.manual_seed(0)
    data, lr, lambda_ = make_data(), 0.4, 0.5
    theta = torch.nn.Parameter(torch.zeros(COPIES, dtype=torch.float64))
    decay = 1 / (N * PRIOR_VARIANCE)
    sampler = PSGLD([theta], lr, N, temperature, alpha=1.0, lambda_=lambda_, weight_decay=decay, v_start="first_square")
    run_chain(sampler, theta, data, batch)
    g = 1 / (lambda_ + abs(data.mean().item()))  # from ḡ = θ − mean(y) at θ = 0, the prior not in it
    c = 0.0 if batch is None else N**2 * data.var(correction=0).item() / batch
    expected = stationary_variance(2 * lr / N, PRECISION, temperature, c, g)
    assert_gaussian_sample(theta.detach().numpy(), posterior_mean(data), expected)


def test_the_law_distinguishes_a_wrong_factor() -> None:
    """The comparison itself can fail: T = 1 is not taken for T = 1.05, nor a full batch for a minibatch."""
    rng = np.random.default_rng(0)
    true = stationary_variance(0.01, 60.0, 1.0)
    for wrong in (stationary_variance(0.01, 60.0, 1.05), stationary_variance(0.01, 60.0, 1.0, c=2000.0)):
        with pytest.raises(AssertionError):
            assert_gaussian_sample(rng.normal(0, np.sqrt(true), COPIES), 0.0, wrong)
