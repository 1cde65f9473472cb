"""The training step of a linear Sparse VD layer in one function, against the elementary operations."""

import copy
import math

import pytest
import torch
from torch import nn

from bnnbench.experiment.assembly import assemble, check
from bnnbench.layers import sparse_vd
from bnnbench.layers.fused import sparse
from bnnbench.layers.fused.sparse_linear import SparseLinear, _plain
from bnnbench.layers.joint_kl import joint_kl
from bnnbench.layers.kl import sigmoid
from bnnbench.layers.network import kl
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


def test_the_output_alone_has_its_own_slopes():
    tensors, again = inputs(), inputs()
    found = torch.autograd.grad(step(tensors, None)[0].sum(), tensors)
    torch.testing.assert_close(found, torch.autograd.grad(_plain(noise(), None)(*again)[0].sum(), again))


def test_the_kl_alone_has_slopes_to_the_weights_and_none_to_what_it_does_not_depend_on():
    tensors, again = inputs(), inputs()
    with torch.no_grad():
        tensors[0][0] = math.inf  # the output is NaN, the KL is not
    found = torch.autograd.grad(step(tensors, None)[1], tensors, allow_unused=True)
    assert found[0] is None and found[3] is None
    expected = torch.autograd.grad(_plain(noise(), None)(*again)[1], again[1:3])
    torch.testing.assert_close(found[1:3], expected)
    before = nn.Linear(6, 6, dtype=torch.float64)
    network = nn.Sequential(before, SparseVD(nn.Linear(6, 5, dtype=torch.float64)))
    network(again[0])
    network[1].kl().backward()
    assert before.weight.grad is None


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


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_most_extreme_variances_are_held_whether_the_weight_is_0_or_not(dtype, create_graph):
    theta = torch.tensor([[0.0, 0.5], [0.0, -0.5]], dtype=dtype, requires_grad=True)
    log_sigma2 = torch.tensor([[800.0, 800.0], [-800.0, -800.0]], dtype=dtype, requires_grad=True)
    x, epsilon = torch.ones(3, 2, dtype=dtype, requires_grad=True), torch.ones(3, 2, dtype=dtype)
    y, kl = SparseLinear.apply(x, theta, log_sigma2, None, epsilon, None)
    limits = torch.tensor([[8.0, 8.0], [8.0, -8.0]], dtype=dtype)
    torch.testing.assert_close(sparse.log_alpha(theta, log_sigma2), limits)
    torch.testing.assert_close(kl, sigmoid(limits).sum(), rtol=1e-6, atol=1e-6)
    to_x, to_theta, to_log_sigma2 = torch.autograd.grad(y.sum() + kl, (x, theta, log_sigma2), create_graph=create_graph)
    assert to_x.isfinite().all() and torch.equal(to_log_sigma2, torch.zeros_like(to_log_sigma2))
    std = 0.5 * torch.tensor([math.exp(4), math.exp(-4)], dtype=dtype)  # of y, as δ = e^±8 θ²
    expected = torch.stack([torch.full((2,), 3.0, dtype=dtype), 3 + 6 * std * torch.tensor([1.0, -1.0], dtype=dtype)])
    torch.testing.assert_close(to_theta.T, expected, rtol=1e-4, atol=0)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return SparseVD(nn.Linear(6, 5, dtype=torch.float64), init_log_sigma2=-4.0)


def test_within_joint_kl_output_and_kl_share_a_graph(layer):
    alone = layer.kl()
    with joint_kl():
        y = layer(torch.randn(3, 6, dtype=torch.float64))
        joint, again = layer.kl(), layer.kl()
    assert joint.grad_fn is y.grad_fn
    assert again.grad_fn is not joint.grad_fn  # handed on once
    for value in (joint, again):
        torch.testing.assert_close(value, alone)
        torch.testing.assert_close(*(torch.autograd.grad(v, layer.weight, retain_graph=True) for v in (value, alone)))


def test_outside_of_joint_kl_the_kl_is_that_of_the_present_parameters(layer):
    with joint_kl():
        layer(torch.randn(3, 6, dtype=torch.float64))
    layer(torch.randn(3, 6, dtype=torch.float64))
    for p in layer.parameters():
        p.data.mul_(1.5)  # unseen by autograd
    torch.testing.assert_close(layer.kl(), copy.deepcopy(layer).kl(), rtol=0, atol=0)


def test_within_joint_kl_other_parameters_have_their_own_kl(layer):
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other.log_sigma2.add_(1.0)
    with joint_kl():
        layer(torch.randn(3, 6, dtype=torch.float64))
        torch.testing.assert_close(kl(layer, dict(other.named_parameters())), other.kl())


def test_a_training_step_computes_the_kl_with_the_output(compose, monkeypatch):
    parts = assemble(check(compose("method=sparse_vd", "model.widths=[12]", "threads=1")))
    monkeypatch.setattr(sparse_vd, "fused", None)  # the KL on its own, or the variance, would call it
    parts.potential(*parts.batches(0)).sum().backward()
    assert all(p.grad is not None for p in parts.chains.parameters.values())


@pytest.mark.parametrize("train_clip", [True, False])
def test_the_same_noise_gives_the_same_draw_as_the_general_way(layer, train_clip, monkeypatch):
    layer.train_clip = train_clip
    x = torch.randn(3, 6, dtype=torch.float64)
    torch.manual_seed(1)
    together = layer(x)
    monkeypatch.setattr(sparse_vd.SparseVD, "_has_fused_step", lambda *_: False)
    torch.manual_seed(1)
    apart = layer(x)
    assert together.grad_fn.name() != apart.grad_fn.name()
    torch.testing.assert_close(together, apart)
