"""Sparse variational dropout: moments, clipping, thresholds, and the inputs it drops."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bnnbench.layers import kl
from bnnbench.layers.sparse_vd import SparseVD

BOTH = ["additive", "multiplicative"]


def with_log_alpha(layer, low, high, **options):
    """Return a layer whose log α are spread over [low, high]."""
    noisy = SparseVD(layer, **options)
    with torch.no_grad():
        log_alpha = torch.linspace(low, high, layer.weight.numel(), dtype=layer.weight.dtype).view_as(layer.weight)
        if noisy.parametrisation == "additive":
            noisy.log_sigma2.copy_(log_alpha + layer.weight.square().log())
        else:
            noisy.log_alpha.copy_(log_alpha)
    return noisy


@torch.no_grad()
@pytest.mark.parametrize("parametrisation", BOTH)
def test_moments_against_brute_force(parametrisation, plain, moments_agree):
    layer, x = plain
    noisy = with_log_alpha(layer, -6, 4, parametrisation=parametrisation)
    std = (noisy.current_log_alpha() / 2).exp() * noisy.weight.abs()
    weights = noisy.weight + std * torch.randn(20_000, *std.shape).double()
    moments_agree(torch.vmap(lambda w: noisy.affine(x, w, noisy.bias))(weights), *noisy.moments(x))
    draws = noisy(x.repeat(5000, *[1] * (x.dim() - 1))).view(5000, *noisy.mean(x).shape)
    moments_agree(draws, *noisy.moments(x))


def test_conv_equals_unfolded_linear():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    conv = with_log_alpha(nn.Conv2d(3, 4, 3, padding=1).double(), -9, 9, train_clip=True)
    dense = SparseVD(nn.Linear(27, 4).double(), train_clip=True)
    with torch.no_grad():
        for name in ("weight", "log_sigma2"):
            getattr(dense, name).copy_(getattr(conv, name).flatten(1))
        dense.bias.copy_(conv.bias)
    patches = F.unfold(x, 3, padding=1).mT
    for of_conv, of_dense in zip(conv.moments(x), dense.moments(patches), strict=True):
        torch.testing.assert_close(of_conv.flatten(2).mT, of_dense)
    torch.testing.assert_close(conv.eval()(x).flatten(2).mT, dense.eval()(patches))
    torch.testing.assert_close(conv.kl(), dense.kl())


@pytest.mark.parametrize("parametrisation", BOTH)
def test_log_alpha_is_clipped_in_the_variance_and_in_the_kl(parametrisation):
    layer = with_log_alpha(nn.Linear(10, 2).double(), -12, 12, parametrisation=parametrisation)
    clipped = torch.linspace(-12, 12, 20, dtype=torch.float64).clamp(-8, 8).view(2, 10)
    torch.testing.assert_close(layer.current_log_alpha(), clipped)
    torch.testing.assert_close(layer.variance(), clipped.exp() * layer.weight.square())
    torch.testing.assert_close(layer.kl(), kl.sigmoid(clipped).sum())
    layer.kl().backward()
    parameter = layer.log_sigma2 if parametrisation == "additive" else layer.log_alpha
    assert torch.equal(parameter.grad != 0, clipped.abs() < 8)


def test_both_parametrisations_start_at_the_same_posterior():
    plain = nn.Linear(6, 3).double()
    additive, multiplicative = (SparseVD(plain, p, init_log_sigma2=-6) for p in BOTH)
    torch.testing.assert_close(additive.current_log_alpha(), multiplicative.current_log_alpha())
    torch.testing.assert_close(additive.kl(), multiplicative.kl())


def test_evaluation_drops_what_is_above_the_threshold():
    torch.manual_seed(0)
    layer, x = with_log_alpha(nn.Linear(10, 2), -8, 8), torch.randn(4, 10)
    layer.eval()
    kept = (layer.current_log_alpha() <= 3).float()
    assert 0 < kept.mean() < 1
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight * kept, layer.bias))
    assert torch.equal(layer(x), layer(x))
    assert torch.equal(layer.sparse_weight() == 0, kept == 0)
    layer.threshold = 8.0
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    layer.sample = True
    assert not torch.equal(layer(x), layer(x))


def test_train_clip_drops_the_mean_and_keeps_the_variance():
    torch.manual_seed(0)
    plain, x = nn.Linear(10, 2), torch.randn(4, 10)
    clipped, free = (with_log_alpha(plain, -8, 8, train_clip=c) for c in (True, False))
    torch.testing.assert_close(clipped.moments(x)[0], F.linear(x, clipped.sparse_weight(), plain.bias))
    torch.testing.assert_close(free.moments(x)[0], plain(x))
    assert torch.equal(clipped.moments(x)[1], free.moments(x)[1])


@pytest.mark.parametrize("parametrisation", BOTH)
@pytest.mark.parametrize("train_clip", [False, True])
def test_weights_and_inputs_at_zero_have_finite_gradients(parametrisation, train_clip):
    plain = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(plain.weight)
    layer = SparseVD(plain, parametrisation, train_clip=train_clip)
    (layer(torch.zeros(4, 3)).sum() + layer(torch.ones(4, 3)).sum() + layer.kl()).backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("parametrisation", BOTH)
def test_gradcheck(parametrisation, plain):
    layer, x = plain
    noisy = with_log_alpha(layer, -7, 7, parametrisation=parametrisation)
    names, values = zip(*noisy.named_parameters(), strict=True)

    def forward(x, *values):
        torch.manual_seed(3)
        return torch.func.functional_call(noisy, dict(zip(names, values, strict=True)), (x,))

    inputs = (x.clone().requires_grad_(), *(v.detach().clone().requires_grad_() for v in values))
    assert torch.autograd.gradcheck(forward, inputs, fast_mode=True)


def test_drops_planted_irrelevant_inputs_and_nothing_else():
    torch.manual_seed(0)
    n, inputs, draws, std = 200, 20, 8, 0.3
    x, truth = torch.randn(n, inputs), torch.zeros(2, inputs)
    truth[0, :4], truth[1, 2:6] = torch.tensor([1.0, -0.8, 0.6, 1.2]), torch.tensor([-1.0, 0.7, 0.9, -0.6])
    noise = std * torch.randn(n, 2)
    noise -= x @ torch.linalg.lstsq(x, noise).solution  # else an irrelevant input may look relevant by chance, and stay
    y = x @ truth.T + noise
    layer = SparseVD(nn.Linear(inputs, 2), init_log_sigma2=-6)
    optimiser, steps = torch.optim.Adam(layer.parameters(), lr=0.005), 1500
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        error = y.repeat(draws, 1) - layer(x.repeat(draws, 1))
        nll = error.square().sum() / (2 * std**2 * draws)
        (nll + layer.kl()).div(n).backward()
        optimiser.step()
        schedule.step()
    layer.eval()
    assert torch.equal(layer.kept(), truth != 0)
    assert (layer.sparse_weight() - truth).abs().max() < 0.25 * std / n**0.5  # a quarter of a standard error
    changed = x.clone()
    changed[:, 6:] = 100.0
    torch.testing.assert_close(layer(changed), layer(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parametrisation": "log"}, "additive, multiplicative, got 'log'"),
        ({"threshold": 9}, r"in \[-8, 8\], the range of log α, got 9"),
        ({"init_log_sigma2": -math.inf}, "finite, got -inf"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        SparseVD(nn.Linear(2, 2), **options)
