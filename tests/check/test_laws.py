"""The laws that chains are held to, against other derivations; the gradient noise against its stated moments."""

from __future__ import annotations

import pytest
import torch
from support.laws import stationary_variance

from bnnbench.check import law, plan
from bnnbench.check.gradient_noise.base import BATCH
from bnnbench.check.gradient_noise.independent import IndependentMinibatches
from bnnbench.check.gradient_noise.none import NoNoise
from bnnbench.check.gradient_noise.reshuffled import ReshuffledMinibatches
from bnnbench.check.targets.gaussian_correlated import GaussianCorrelated
from bnnbench.check.targets.gaussian_isotropic import GaussianIsotropic
from bnnbench.check.targets.linear_regression import LinearRegression

TARGETS = {target.name: target for target in plan.targets()}
NOISES = {noise.name: noise for noise in plan.gradient_noises()}


@pytest.mark.parametrize("noise", [NoNoise(), IndependentMinibatches()], ids=["none", "independent"])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_the_covariance_is_that_of_the_scalar_recursion(noise, temperature) -> None:
    target, lr, g = GaussianIsotropic(), 0.3, 0.7
    n = target.num_data
    c = n**2 / BATCH if noise.noisy else 0.0
    expected = stationary_variance(2 * lr / n, n, temperature, c, g)
    found = law.covariance(target, noise, torch.full((1, 2), g), lr, temperature)[0]
    assert torch.allclose(found, expected * torch.eye(2, dtype=found.dtype), rtol=1e-6, atol=1e-12)


def test_the_covariance_solves_the_matrix_equation() -> None:
    target, lr, g = LinearRegression(), 0.05, torch.tensor([[1.0, 0.5, 2.0]], dtype=torch.float64)
    sigma = law.covariance(target, IndependentMinibatches(), g, lr, 1.0)[0]
    step, j = torch.diag(lr * g[0]), target.hessian
    c = target.gradient_covariance(sigma) / BATCH
    left = step @ j @ sigma + sigma @ j @ step - step @ j @ sigma @ j @ step
    assert torch.allclose(left, step @ c @ step + 2 / target.num_data * step, atol=1e-12)


def test_reshuffled_minibatches_have_the_law_of_a_long_recursion() -> None:
    """All batches of an epoch, with their covariance among each other, in one large linear system."""
    target, lr, size = GaussianCorrelated(), 0.05, 2
    n, steps = target.num_data, target.num_data // BATCH
    found = law.covariance(target, ReshuffledMinibatches(), torch.ones(1, size), lr, 1.0)[0]
    a = torch.eye(size, dtype=torch.float64) - lr * target.hessian
    spread = target.hessian / BATCH
    own, other = spread * (n - BATCH) / (n - 1), -spread * BATCH / (n - 1)
    power = [torch.linalg.matrix_power(a, k) for k in range(steps + 1)]
    p = torch.zeros(size, size, dtype=torch.float64)
    for _ in range(400):
        start, found_in_epoch = p, []
        for t in range(1, steps + 1):
            p = power[t] @ start @ power[t].T
            for i in range(t):
                p = p + power[i] @ power[i].T * 2 * lr / n
                for k in range(t):
                    p = p + lr**2 * power[i] @ (own if i == k else other) @ power[k].T
            found_in_epoch.append(p)
        if torch.allclose(p, start, rtol=1e-12, atol=0):
            break
    assert torch.allclose(found, torch.stack(found_in_epoch).mean(0), rtol=1e-9)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_the_moments_that_it_states(name) -> None:
    target = TARGETS[name]
    generator = torch.Generator().manual_seed(0)
    u = target.coordinates(target.draw(100_000, generator))
    assert u.mean(0).abs().max() < 4.5 / 100_000**0.5
    assert (u.square().mean(0) - 1).abs().max() < 4.5 * u.square().std(0).max() / 100_000**0.5


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.linear])
def test_the_gradient_is_linear_with_the_stated_hessian_and_covariance(name) -> None:
    target, generator = TARGETS[name], torch.Generator().manual_seed(0)
    theta = (target.mean + 0.1 * torch.randn(4, len(target.mean), dtype=torch.float64)).float().requires_grad_()
    (gradient,) = torch.autograd.grad(target.loss(theta, None).sum(), theta)
    full = gradient + target.weight_decay * theta
    expected = (theta.detach().double() - target.mean) @ target.hessian
    assert torch.allclose(full.double(), expected, atol=2e-5)
    each = target.mean.float().expand(target.num_data, -1).clone().requires_grad_()
    index = torch.arange(target.num_data)[:, None]
    (of_data,) = torch.autograd.grad(target.loss(each, index).sum(), each)
    covariance = torch.cov(of_data.double().T, correction=0)
    stated = target.gradient_covariance(torch.zeros_like(target.covariance))
    assert torch.allclose(covariance, stated, rtol=1e-3, atol=1e-4 * float(stated.abs().max()))
    assert generator is not None


@pytest.mark.parametrize("name", [name for name, noise in NOISES.items() if noise.excess is not None])
def test_shaped_noise_has_the_moments_that_it_states(name) -> None:
    z = NOISES[name].standardised((400_000, 1), torch.Generator().manual_seed(0)).double()
    n = z.numel() ** 0.5
    assert abs(z.mean()) < 4.5 / n
    assert abs(z.square().mean() - 1) < 4.5 * z.square().std() / n
    assert abs((z**4).mean() - 3 - NOISES[name].excess) < 4.5 * (z**4).std() / n


def test_minibatches_have_the_data_that_they_should() -> None:
    target, generator = GaussianIsotropic(), torch.Generator().manual_seed(0)
    reshuffled = ReshuffledMinibatches()
    epoch = torch.cat([reshuffled.index(target, 3, step, generator) for step in range(10)], 1)
    assert torch.equal(epoch.sort(1).values, torch.arange(target.num_data).expand(3, -1))
    assert IndependentMinibatches().index(target, 3, 0, generator).shape == (3, BATCH)
