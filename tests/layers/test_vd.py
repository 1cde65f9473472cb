"""Variational dropout: moments, the count of the KL, the limit of α, gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bnnbench.layers import kl
from bnnbench.layers.vd import VariationalDropout

PER = ["layer", "unit", "weight"]


def randomised(layer, **options):
    """Return a layer whose α differ."""
    noisy = VariationalDropout(layer, **{"kl": "sigmoid", **options})
    noisy.log_alpha.data.add_(torch.randn_like(noisy.log_alpha))
    return noisy


def alpha_of_weights(noisy):
    """Return α in the shape of the weight, for a layer without groups."""
    alpha = noisy.log_alpha.exp()
    if noisy.per == "unit":
        alpha = alpha.view(-1, *[1] * (noisy.weight.dim() - 2))
    return alpha.expand_as(noisy.weight)


@torch.no_grad()
@pytest.mark.parametrize("per", PER)
def test_type_b_moments_against_brute_force(per, plain, moments_agree):
    layer, x = plain
    noisy = randomised(layer, per=per)
    if noisy.is_conv and noisy.groups > 1 and per == "unit":
        alpha = noisy.log_alpha.exp().view(2, 1, 2, 1, 1).flatten(0, 1)  # two groups of two channels, one filter each
    else:
        alpha = alpha_of_weights(noisy)
    weights = noisy.weight * (1 + alpha.sqrt() * torch.randn(20_000, *noisy.weight.shape).double())
    moments_agree(torch.vmap(lambda w: noisy.affine(x, w, noisy.bias))(weights), *noisy.moments(x))
    draws = noisy(x.repeat(5000, *[1] * (x.dim() - 1)))
    moments_agree(draws.view(5000, *noisy.mean(x).shape), *noisy.moments(x))


@torch.no_grad()
def test_type_a_is_a_draw_of_correlated_weights():
    torch.manual_seed(0)
    x = torch.randn(2, 4, dtype=torch.float64)
    noisy = randomised(nn.Linear(4, 3).double(), kind="A", per="unit")
    scales = 1 + (noisy.log_alpha / 2).exp() * torch.randn(20_000, 4).double()
    brute = torch.einsum("bi,oi,si->sbo", x, noisy.weight, scales) + noisy.bias
    draws = noisy(x.repeat(20_000, 1)).view(20_000, 2, 3)
    for estimate in (brute, draws):  # all second moments within a datum, not the variances alone
        exact = torch.einsum("bi,oi,pi,i->bop", x.square(), noisy.weight, noisy.weight, noisy.log_alpha.exp())
        centred = estimate - noisy.mean(x)
        products = torch.einsum("sbo,sbp->sbop", centred, centred)
        error = products.std(0) / 20_000**0.5
        assert ((products.mean(0) - exact).abs() < 5.5 * error).all()


@pytest.mark.parametrize("per", PER)
def test_conv_equals_unfolded_linear(per):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    conv = randomised(nn.Conv2d(3, 4, 3, padding=1, stride=2).double(), per=per)
    dense = VariationalDropout(nn.Linear(27, 4).double(), kl="sigmoid", per="weight")
    with torch.no_grad():
        dense.weight.copy_(conv.weight.flatten(1))
        dense.bias.copy_(conv.bias)
        dense.log_alpha.copy_(alpha_of_weights(conv).log().flatten(1))
    patches = F.unfold(x, 3, padding=1, stride=2).mT  # [B, positions, 27]
    for of_conv, of_dense in zip(conv.moments(x), dense.moments(patches), strict=True):
        torch.testing.assert_close(of_conv.flatten(2).mT, of_dense)
    torch.testing.assert_close(conv.kl(), dense.kl())


@pytest.mark.parametrize(
    ("kind", "per", "count"),
    [("B", "layer", 12), ("B", "unit", 12), ("B", "weight", 12), ("A", "layer", 4), ("A", "unit", 4)],
)
@pytest.mark.parametrize("form", ["cubic", "bound", "sigmoid"])
def test_kl_counts_weights_with_b_and_units_with_a(kind, per, count, form):
    layer = VariationalDropout(nn.Linear(4, 3), kind, per, alpha=0.3, kl=form)
    one = getattr(kl, form)(torch.tensor(0.3).log())
    torch.testing.assert_close(layer.kl(), count * one)
    before = layer.kl()
    layer(torch.randn(50, 4))
    assert torch.equal(layer.kl(), before)


def test_kl_of_a_convolution():
    layer = VariationalDropout(nn.Conv2d(4, 6, 3, groups=2), alpha=0.3, kl="sigmoid")
    torch.testing.assert_close(layer.kl(), layer.weight.numel() * kl.sigmoid(torch.tensor(0.3).log()))


def test_no_prior():
    layer = VariationalDropout(nn.Linear(4, 3), kl="none")
    assert layer.kl() == 0
    layer(torch.randn(5, 4)).square().sum().backward()
    assert layer.log_alpha.grad.abs().min() > 0  # learned all the same


def test_the_limit_of_alpha_holds_and_is_left_again():
    torch.manual_seed(0)
    layer, x = VariationalDropout(nn.Linear(4, 3), per="layer", alpha=1.0), torch.randn(50, 4)
    optimiser = torch.optim.Adam([layer.log_alpha], lr=0.05)
    for loss in (layer.kl, lambda: layer(x).square().sum()):
        for _ in range(60):
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()
            assert layer.current_log_alpha() <= 0
        if loss == layer.kl:  # it asks for a larger α without end
            assert -0.2 < layer.log_alpha.item() < 0.2
    assert layer.log_alpha.item() < -1


def test_gradient_beyond_the_limit():
    layer = VariationalDropout(nn.Linear(3, 1), alpha=1.0)
    layer.log_alpha.data.copy_(torch.tensor([-1.0, 0.5, 0.5]))
    out = layer.current_log_alpha()
    assert out.tolist() == [-1.0, 0.0, 0.0]
    out.backward(torch.tensor([-2.0, -2.0, 2.0]))
    assert layer.log_alpha.grad.tolist() == [-2.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "per"), [("A", "layer"), ("A", "unit"), ("B", "layer"), ("B", "unit"), ("B", "weight")]
)
@pytest.mark.parametrize("form", ["cubic", "sigmoid"])
def test_gradcheck(kind, per, form, plain):
    layer, x = plain
    noisy = VariationalDropout(layer, kind, per, alpha=0.4, kl=form)
    names, values = zip(*noisy.named_parameters(), strict=True)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = noisy

        def forward(self, x):
            return self.layer(x).tanh().sum() + self.layer.kl()

    def loss(x, *values):
        torch.manual_seed(3)
        return torch.func.functional_call(Both(), {f"layer.{n}": v for n, v in zip(names, values, strict=True)}, (x,))

    inputs = (x.clone().requires_grad_(), *(v.detach().clone().requires_grad_() for v in values))
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "C"}, "A, B, got 'C'"),
        ({"per": "filter"}, "layer, unit, weight, got 'filter'"),
        ({"kl": "exact"}, "cubic, bound, sigmoid, none, got 'exact'"),
        ({"kind": "A", "per": "weight"}, "per=weight needs kind=B"),
        ({"alpha": 0}, "alpha must be finite and > 0, got 0"),
        ({"alpha": 1.5}, r"alpha must be in \(0, 1\] with kl=cubic, got 1.5"),
        ({"alpha": math.inf, "kl": "none"}, "got inf"),
        ({"max_alpha": 2}, "α ≤ 1 only, got max_alpha=2; take kl=sigmoid"),
        ({"max_alpha": -1, "kl": "bound"}, "max_alpha must be > 0, got -1"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        VariationalDropout(nn.Linear(2, 2), **options)
