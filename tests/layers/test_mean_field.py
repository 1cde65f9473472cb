"""Mean-field layers: moments, estimators, both priors, and the optimum of a conjugate problem."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from bnnbench.layers.mean_field import MeanField, log_mixture


def randomised(layer, **options):
    """Return a mean-field layer whose σ differ."""
    noisy = MeanField(layer, init_std=0.5, **options)
    for rho in (noisy.rho, noisy.bias_rho):
        if rho is not None:
            rho.data.add_(torch.rand_like(rho))
    return noisy


def brute_force(noisy, x, count):
    """Return pre-activations [count, *y] for weights drawn from q, by plain torch."""
    weights = noisy.weight + F.softplus(noisy.rho) * torch.randn(count, *noisy.weight.shape).double()
    if noisy.bias is None:
        return torch.vmap(lambda w: noisy.affine(x, w, None))(weights)
    biases = noisy.bias + F.softplus(noisy.bias_rho) * torch.randn(count, *noisy.bias.shape).double()
    return torch.vmap(lambda w, b: noisy.affine(x, w, b))(weights, biases)


@torch.no_grad()
def test_local_moments_against_brute_force(plain, moments_agree):
    layer, x = plain
    noisy = randomised(layer)
    moments_agree(brute_force(noisy, x, 20_000), *noisy.moments(x))


@torch.no_grad()
@pytest.mark.parametrize("estimator", ["local", "separate", "single"])
def test_estimators_draw_from_those_moments(estimator, plain, moments_agree):
    layer, x = plain
    noisy, count = randomised(layer, estimator=estimator), 5000
    if estimator == "single":
        draws = torch.vmap(lambda _: noisy(x), randomness="different")(torch.zeros(count))
    else:
        draws = noisy(x.repeat(count, *[1] * (x.dim() - 1))).view(count, *noisy.mean(x).shape)
    moments_agree(draws, *noisy.moments(x))


def test_single_shares_its_draw_among_the_data_and_separate_does_not():
    for estimator, shared in (("single", True), ("separate", False), ("local", False)):
        y = randomised(nn.Linear(3, 2), estimator=estimator)(torch.ones(4, 3))
        assert torch.equal(y[0], y[1]) is shared


def test_separate_with_positions_and_without_a_batch():
    layer = randomised(nn.Linear(3, 2), estimator="separate")
    y = layer(torch.ones(4, 5, 3))
    assert y.shape == (4, 5, 2)
    assert torch.allclose(y[0, 0], y[0, 1])  # one draw per datum
    assert not torch.allclose(y[0, 0], y[1, 0])
    assert layer(torch.ones(3)).shape == (2,)
    assert randomised(nn.Conv2d(2, 3, 3), estimator="separate")(torch.ones(2, 5, 5)).shape == (3, 3, 3)


def test_mixture_density_against_torch():
    mixture = MixtureSameFamily(
        Categorical(torch.tensor([0.25, 0.75]).double()),
        Normal(torch.zeros(2).double(), torch.tensor([1.0, math.exp(-6)], dtype=torch.float64)),
    )
    wide = torch.linspace(-2, 2, 41, dtype=torch.float64)
    w = torch.cat([wide, wide / 60]).requires_grad_()  # the components cross near 0.01
    torch.testing.assert_close(log_mixture(w, 0.25, 1.0, math.exp(-6)), mixture.log_prob(w))
    (slope,) = torch.autograd.grad(log_mixture(w, 0.25, 1.0, math.exp(-6)).sum(), w)
    (expected,) = torch.autograd.grad(mixture.log_prob(w).sum(), w)
    torch.testing.assert_close(slope, expected)
    rough = log_mixture(w.detach().float(), 0.25, 1.0, math.exp(-6)).double()
    torch.testing.assert_close(rough, mixture.log_prob(w).detach(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_mixture_kl_by_quadrature():
    torch.manual_seed(0)
    noisy = randomised(nn.Linear(3, 2).double(), prior="mixture", mixture=(0.5, 1.0, 0.1), kl_samples=20_000)
    z = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    exact = 0.0
    for mean, std in zip(
        torch.cat([noisy.weight.flatten(), noisy.bias]), torch.cat([noisy.std.flatten(), noisy.bias_std]), strict=True
    ):
        q = Normal(mean, std)
        w = mean + std * z
        density = q.log_prob(w)
        exact += torch.trapezoid(density.exp() * (density - log_mixture(w, 0.5, 1.0, 0.1)), w)
    draws = torch.stack([noisy.kl() for _ in range(20)])
    assert abs(draws.mean() - exact) < 5 * draws.std() / 20**0.5


def test_mixture_of_equals_is_the_gaussian_prior():
    torch.manual_seed(0)
    noisy = randomised(nn.Linear(3, 2).double(), prior="mixture", mixture=(0.5, 1 + 1e-9, 1.0), kl_samples=50_000)
    estimate = noisy.kl()
    noisy.prior = "gaussian"
    assert estimate.item() == pytest.approx(noisy.kl().item(), rel=0.01)


def test_kl_is_a_sum_that_knows_no_batch():
    one, two = randomised(nn.Linear(3, 2)), randomised(nn.Linear(3, 2))
    kl = one.kl()
    one(torch.randn(50, 3))
    assert torch.equal(one.kl(), kl)
    assert kl.shape == ()
    both = MeanField(nn.Linear(6, 2, bias=False), prior_std=1.0)
    with torch.no_grad():  # the same weights twice: twice the KL
        both.weight.copy_(torch.cat([one.weight, one.weight], 1))
        both.rho.copy_(torch.cat([one.rho, one.rho], 1))
    one.bias_rho = None
    torch.testing.assert_close(both.kl(), 2 * one.kl())
    assert two.kl() > two._kl(two.weight, two.std)  # the bias counts


@pytest.mark.parametrize("estimator", ["local", "separate", "single"])
def test_converges_to_the_optimal_factorised_posterior(estimator):
    # y = Xw + b + N(0, v), prior N(0, s²): the exact posterior has precision Λ = XᵀX/v + I/s². The best factorised
    # Gaussian has its mean and the variances 1/Λ_ii, smaller than (Λ⁻¹)_ii as the inputs are correlated.
    torch.manual_seed(0)
    v, s, n = 0.25, 0.7, 40
    x = torch.randn(n, 3, dtype=torch.float64) @ torch.tensor([[1, 0.9, 0], [0, 0.5, 0], [0.3, 0, 1]]).double()
    y = x @ torch.tensor([1.0, -1.0, 0.5]).double() + 0.3 + v**0.5 * torch.randn(n, dtype=torch.float64)
    design = torch.cat([x, torch.ones(n, 1).double()], 1)
    precision = design.T @ design / v + torch.eye(4).double() / s**2
    mean, std = torch.linalg.solve(precision, design.T @ y / v), precision.diagonal().rsqrt()
    assert (precision.inverse().diagonal().sqrt() / std).max() > 1.5

    layer = MeanField(nn.Linear(3, 1).double(), estimator=estimator, init_std=0.1, prior_std=s)
    optimiser, steps, repeats = torch.optim.Adam(layer.parameters(), lr=0.05), 400, 20
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    stacked, each = x.repeat(repeats, 1), torch.zeros(repeats)  # 20 independent draws lower the noise
    drawn = torch.vmap(lambda _: layer(x).squeeze(-1), randomness="different")
    for _ in range(steps):
        optimiser.zero_grad()
        outputs = drawn(each) if estimator == "single" else layer(stacked).view(repeats, n)
        nll = (y - outputs).square().sum() / (2 * v * repeats)
        (nll + layer.kl()).div(n).backward()
        optimiser.step()
        schedule.step()
    found = torch.cat([layer.weight[0], layer.bias])
    found_std = torch.cat([layer.std[0], layer.bias_std])
    assert ((found - mean) / std).abs().max() < 0.1
    assert (found_std / std - 1).abs().max() < 0.05


def test_gradcheck(plain):
    layer, x = plain
    for estimator in ("local", "separate", "single"):
        noisy = randomised(layer, estimator=estimator)
        names, values = zip(*noisy.named_parameters(), strict=True)

        def forward(x, *values, noisy=noisy, names=names):
            torch.manual_seed(3)  # the same noise at every evaluation
            return torch.func.functional_call(noisy, dict(zip(names, values, strict=True)), (x,))

        inputs = (x.clone().requires_grad_(), *(v.detach().clone().requires_grad_() for v in values))
        assert torch.autograd.gradcheck(forward, inputs, fast_mode=True)


def test_all_zero_input_has_finite_gradients():
    layer = MeanField(nn.Linear(3, 2), random_bias=False)
    layer(torch.zeros(4, 3)).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters() if p.grad is not None)


def test_evaluation_and_options():
    plain = nn.Linear(3, 2)
    layer, x = MeanField(plain, init_std=0.02), torch.randn(4, 3)
    torch.testing.assert_close(layer.std, torch.full((2, 3), 0.02))
    layer.eval()
    assert torch.equal(layer(x), plain(x))
    layer.sample = True
    assert not torch.equal(layer(x), layer(x))
    assert MeanField(nn.Linear(3, 2), random_bias=False).bias_rho is None
    torch.testing.assert_close(layer.current_log_alpha(), (0.02**2 / plain.weight.square()).log(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "both"}, "local, separate, single, got 'both'"),
        ({"prior": "laplace"}, "gaussian, mixture, got 'laplace'"),
        ({"prior_std": 0}, "prior_std must be finite and > 0, got 0"),
        ({"init_std": float("nan")}, "init_std .* got nan"),
        ({"mixture": (1.5, 1, 0.1)}, "0 < π < 1"),
        ({"mixture": (0.5, 0.1, 1)}, "σ1 > σ2"),
        ({"kl_samples": 0}, "at least 1, got 0"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        MeanField(nn.Linear(2, 2), **options)
