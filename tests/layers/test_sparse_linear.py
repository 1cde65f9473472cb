"""The training step of a linear Sparse VD layer in one function, against the elementary operations."""

import copy
import pickle

import pytest
import torch
from torch import nn

from bnnbench.layers import sparse_vd
from bnnbench.layers._sparse_linear import SparseLinear, _plain
from bnnbench.layers.sparse_vd import SparseVD


def inputs(dtype=torch.float64, bias=True):
    """Return x, θ, log σ² and b: log α runs beyond its limits, some θ and one datum are 0."""
    draw = torch.Generator().manual_seed(3)
    x, theta, b = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((4, 6), (5, 6), (5,)))
    x[1] = 0.0
    theta[0, ::3] = 0.0
    theta[1] *= 1e-5
    log_alpha = torch.linspace(-11, 11, 30, dtype=torch.float64).view(5, 6) + 0.013
    log_sigma2 = log_alpha + theta.square().clamp_min(1e-6).log()
    kept = (x, theta, log_sigma2, b) if bias else (x, theta, log_sigma2)
    return tuple(t.to(dtype).requires_grad_() for t in kept)


def noise(dtype=torch.float64):
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)


def step(tensors, threshold):
    x, theta, log_sigma2, *bias = tensors
    return SparseLinear.apply(x, theta, log_sigma2, bias[0] if bias else None, noise(x.dtype), threshold)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("threshold", [None, -8.0, 3.0, 8.0])
def test_values_and_slopes_are_those_of_elementary_operations(bias, threshold):
    tensors, again = inputs(bias=bias), inputs(bias=bias)
    found, expected = step(tensors, threshold), _plain(noise(), threshold)(*again)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(4, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    slopes = [
        torch.autograd.grad((y * weights).sum() + 0.3 * kl, of) for (y, kl), of in ((found, tensors), (expected, again))
    ]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_the_two_results_alone_has_its_own_slopes(which):
    tensors, again = inputs(), inputs()
    found = torch.autograd.grad(step(tensors, None)[which].sum(), tensors, allow_unused=True)
    expected = torch.autograd.grad(
        _plain(noise(), None)(*again)[which].sum(), again, allow_unused=True, materialize_grads=True
    )
    torch.testing.assert_close(found, expected)


def test_slopes_of_slopes_are_those_of_finite_differences():
    inside = [t.detach() for t in inputs()]
    inside[0][1] = 1.0  # δ is not 0, where the root bends without measure
    inside[1] = inside[1].abs().clamp_min(0.3)  # away from the limits, where slopes jump
    inside[2] = torch.linspace(-4, 4, 30, dtype=torch.float64).view(5, 6) + inside[1].square().log()
    assert torch.autograd.gradgradcheck(lambda *t: step(t, None), [t.requires_grad_() for t in inside])


def test_single_precision_is_good_to_rounding():
    single = inputs(torch.float32)
    double = tuple(t.detach().double().requires_grad_() for t in single)
    (y, kl), (exact, exact_kl) = step(single, 3.0), _plain(noise(torch.float32).double(), 3.0)(*double)
    torch.testing.assert_close((y.double(), kl.double()), (exact, exact_kl), rtol=3e-5, atol=3e-6)
    found = torch.autograd.grad(y.sum() + kl, single)
    expected = torch.autograd.grad(exact.sum() + exact_kl, double)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return SparseVD(nn.Linear(6, 5, dtype=torch.float64), init_log_sigma2=-4.0)


def test_the_kl_that_came_along_is_the_kl(layer):
    alone = layer.kl()
    layer(torch.randn(3, 6, dtype=torch.float64))
    along = layer.kl()
    assert along.grad_fn is not alone.grad_fn
    torch.testing.assert_close(along, alone)
    gradients = [torch.autograd.grad(value, list(layer.parameters())[:1]) for value in (along, alone)]
    torch.testing.assert_close(*gradients)


def test_the_kl_is_never_that_of_weights_which_changed_since(layer):
    for change in (layer.weight, layer.log_sigma2):
        layer(torch.randn(3, 6, dtype=torch.float64))
        with torch.no_grad():
            change.mul_(1.5)
        torch.testing.assert_close(layer.kl(), copy.deepcopy(layer).kl())


def test_the_kl_can_be_asked_for_twice_and_both_have_slopes(layer):
    layer(torch.randn(3, 6, dtype=torch.float64))
    first, second = layer.kl(), layer.kl()
    first.backward()
    slope = layer.log_sigma2.grad.clone()
    second.backward()
    torch.testing.assert_close(layer.log_sigma2.grad, 2 * slope)


def test_a_layer_is_copied_and_saved_in_the_middle_of_a_step(layer):
    layer(torch.randn(3, 6, dtype=torch.float64))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin.kl(), layer.kl())
        assert twin(torch.randn(3, 6, dtype=torch.float64)).shape == (3, 5)


@pytest.mark.parametrize("train_clip", [True, False])
def test_the_same_noise_gives_the_same_draw_as_the_general_way(layer, train_clip, monkeypatch):
    layer.train_clip = train_clip
    x = torch.randn(3, 6, dtype=torch.float64)
    torch.manual_seed(1)
    together = layer(x)
    monkeypatch.setattr(sparse_vd.SparseVD, "_simple", lambda *_: False)
    torch.manual_seed(1)
    apart = layer(x)
    assert together.grad_fn.name() != apart.grad_fn.name()
    torch.testing.assert_close(together, apart)
