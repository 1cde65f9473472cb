"""The KL forms against Monte Carlo and against their exact derivative."""

import math

import numpy as np
import pytest
import torch
from scipy.special import dawsn
from torch.distributions import Normal, kl_divergence

from bnnbench.layers import kl

LOG_ALPHA = torch.linspace(-8, 8, 17, dtype=torch.float64)


@pytest.fixture(scope="module")
def monte_carlo():
    """KL(α) = E log|1 + √α ε| − ½ log α + const by Monte Carlo with common random numbers; up to its constant."""
    torch.manual_seed(0)
    epsilon = torch.randn(1_000_000, dtype=torch.float64)  # standard errors of the differences up to 0.0011
    expected = torch.stack([(1 + (a / 2).exp() * epsilon).abs().log().mean() for a in LOG_ALPHA])
    return expected - 0.5 * LOG_ALPHA


def test_sigmoid_differences_against_monte_carlo(monte_carlo):
    error = kl.sigmoid(LOG_ALPHA) - monte_carlo
    assert (error - error[-1]).abs().max() < 0.02


def test_cubic_differences_against_monte_carlo(monte_carlo):
    valid = LOG_ALPHA <= 0
    error = (kl.cubic(LOG_ALPHA) - monte_carlo)[valid]
    assert (error.max() - error.min()) / 2 < 0.021  # with its best constant; exactly 0.0201, at log α = −8 and −1.9
    assert (kl.cubic(LOG_ALPHA) - monte_carlo)[~valid].abs().max() > 1  # and α > 1 is out of its reach


def test_bound_is_above_for_alpha_up_to_one_and_tight_at_zero(monte_carlo):
    gap = kl.bound(LOG_ALPHA) - (monte_carlo + kl.CONSTANT)
    assert (gap[LOG_ALPHA <= 0] > -0.004).all()
    assert gap[0].abs() < 0.004
    assert gap[-1] < -3  # no bound for large α


@pytest.mark.parametrize(("form", "tolerance", "high"), [(kl.sigmoid, 0.03, 8), (kl.cubic, 0.07, 0)])
def test_slope_against_the_exact_one(form, tolerance, high):
    # dKL/dlog α = −√u D(√u) with u = 1/(2α) and D Dawson's integral (Hron et al. 2018): no Monte Carlo, no constant.
    x = torch.linspace(-8, high, 50, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(form(x).sum(), x)
    root = np.sqrt(0.5 * np.exp(-x.detach().numpy()))
    assert np.abs(slope.numpy() + root * dawsn(root)).max() < tolerance


def test_constant_is_that_of_the_limits():
    assert abs(kl.CONSTANT - (np.euler_gamma + math.log(2)) / 2) < 1e-9
    far = torch.tensor([-40.0, 40.0], dtype=torch.float64)
    assert (kl.cubic(far)[0] - (kl.CONSTANT + 20)).abs() < 1e-9
    assert (kl.sigmoid(far) - torch.tensor([kl.K1 + 20, 0.0], dtype=torch.float64)).abs().max() < 1e-9


def test_gaussian_against_torch():
    torch.manual_seed(0)
    mean, std = torch.randn(7, dtype=torch.float64), torch.rand(7, dtype=torch.float64) + 0.1
    zero, two = torch.zeros(7, dtype=torch.float64), torch.full((7,), 2.0, dtype=torch.float64)
    torch.testing.assert_close(kl.gaussian_kl(mean, std, 2.0), kl_divergence(Normal(mean, std), Normal(zero, two)))
    assert kl.gaussian_kl(zero, two, 2.0).abs().max() == 0


@pytest.mark.parametrize("form", [kl.cubic, kl.bound, kl.sigmoid])
def test_gradients(form):
    x = torch.linspace(-8, 8, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(form, x)
    assert form(torch.zeros(2, 3)).shape == (2, 3)
