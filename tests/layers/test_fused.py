"""The fused functions against the plain formulas: values, slopes, slopes of slopes, stacked networks, extremes."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from bnnbench.layers import kl
from bnnbench.layers.conversion import convert
from bnnbench.layers.conversion import kl as kl_of_network
from bnnbench.layers.fused import alpha, sparse
from bnnbench.layers.fused.ops import Op, fused
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.layers.vd import VariationalDropout

COUNT = 41
LOG_ALPHA = torch.linspace(-20, 20, COUNT).double() + 0.013  # no point is on a limit


def theta():
    values = torch.randn(COUNT).double()
    values[::7] = 0.0
    values[1::7] *= 1e-4
    return values


def additive():
    """Return θ, some of them 0, and log σ² whose log α run from −20 to 20."""
    weights = theta()
    return weights, LOG_ALPHA + weights.square().clamp_min(1e-4).log()


OPS = {
    "sparse variance": (sparse.VARIANCE, additive),
    "sparse KL": (sparse.KL, additive),
    "variance": (alpha.variance(math.inf), lambda: (theta(), LOG_ALPHA)),
    "limited variance": (alpha.variance(0.0), lambda: (theta(), LOG_ALPHA)),
    "cubic KL": (alpha.cubic_kl(0.0), lambda: (LOG_ALPHA,)),
    "sigmoid KL": (alpha.SIGMOID_KL, lambda: (LOG_ALPHA,)),
}


@pytest.fixture(params=OPS)
def case(request) -> tuple[Op, tuple[torch.Tensor, ...]]:
    op, inputs = OPS[request.param]
    return op, inputs()


def leaves(tensors, dtype=torch.float64):
    return tuple(x.detach().to(dtype).clone().requires_grad_() for x in tensors)


def reference(op, tensors):
    """Return what the function must be: the plain formula, summed if the function sums."""
    value = op.plain(*tensors)
    return value.sum() if op.total else value


def gradients(value, tensors, seed=0, **options):
    """Return the gradients of a random combination of the elements of `value`."""
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.autograd.grad(value, tensors, weights.to(value.dtype), allow_unused=True, **options)


def assert_agree(found, expected, **tolerances):
    for a, b in zip(found, expected, strict=True):
        if a is not None and b is not None:  # None: an argument that is no variable, as noise, or a slope of 0
            torch.testing.assert_close(a, b, **tolerances)


def test_values_and_slopes_are_those_of_the_plain_formula(case):
    op, tensors = case
    inputs, again = leaves(tensors), leaves(tensors)
    value, expected = fused(op, *inputs), reference(op, again)
    torch.testing.assert_close(value, expected)
    assert_agree(gradients(value, inputs), gradients(expected, again))


def test_single_precision_is_as_good_as_that_of_the_plain_formula(case):
    op, tensors = case
    inputs = leaves(tensors, torch.float32)
    again = leaves(inputs)  # the same numbers in double precision
    value, expected = fused(op, *inputs), reference(op, again)
    for found, exact in zip((value, *gradients(value, inputs)), (expected, *gradients(expected, again)), strict=True):
        if found is not None and exact is not None:
            torch.testing.assert_close(found.double(), exact, rtol=3e-5, atol=3e-7)


def test_stacked_networks_in_any_arrangement(case):
    op, tensors = case
    stacked = leaves(torch.stack([x, 0.9 * x + 0.01, x.flip(0)]) for x in tensors)
    alone = [fused(op, *(x[k] for x in stacked)) for k in range(3)]
    expected = gradients(torch.stack(alone), stacked)
    value = torch.vmap(lambda *xs: fused(op, *xs))(*stacked)
    torch.testing.assert_close(value, torch.stack(alone))
    assert_agree(gradients(value, stacked), expected)
    # Stacked along the last axis, the last argument shared, and two levels of stacking.
    turned = leaves(x.T for x in stacked)
    value = torch.vmap(lambda *xs: fused(op, *xs), in_dims=1)(*turned)
    torch.testing.assert_close(value, torch.stack(alone))
    assert_agree([g if g is None else g.T for g in gradients(value, turned)], expected)
    if len(tensors) > 1:
        shared = leaves([*stacked[:-1], stacked[-1][0]])
        value = torch.vmap(lambda *xs: fused(op, *xs), in_dims=(0,) * (len(tensors) - 1) + (None,))(*shared)
        each = torch.stack([fused(op, *(x[k] for x in shared[:-1]), shared[-1]) for k in range(3)])
        torch.testing.assert_close(value, each)
        assert_agree(gradients(value, shared), gradients(each, shared))
    twice = leaves(x.view(3, 1, -1).expand(-1, 2, -1) for x in stacked)
    value = torch.vmap(torch.vmap(lambda *xs: fused(op, *xs)))(*twice)
    torch.testing.assert_close(value, torch.stack([torch.stack([a, a]) for a in alone]))
    each = torch.stack([torch.stack([fused(op, *(x[k, m] for x in twice)) for m in range(2)]) for k in range(3)])
    assert_agree(gradients(value, twice), gradients(each, twice))


def test_stacking_needs_no_slow_fallback(case):
    op, tensors = case
    stacked = leaves(torch.stack([x, x]) for x in tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = torch.vmap(lambda *xs: fused(op, *xs))(*stacked)
        gradients(value, stacked)


def smooth(case):
    """Return the function and points away from its limits: there, slopes jump or are 0 by convention."""
    op, tensors = case
    log_alpha, weights = torch.linspace(-6, -1.5, 5).double(), torch.randn(5).double()
    choices = {
        sparse.VARIANCE: (weights, log_alpha + weights.square().log()),
        sparse.KL: (weights, log_alpha + weights.square().log()),
    }
    return op, leaves(choices.get(op, (weights, log_alpha) if len(tensors) == 2 else (log_alpha,)))


def test_slopes_of_slopes(case):
    op, inputs = smooth(case)
    assert torch.autograd.gradgradcheck(lambda *xs: fused(op, *xs), inputs)
    stacked = leaves(torch.stack([x, x + 0.003]) for x in inputs)
    assert torch.autograd.gradgradcheck(torch.vmap(lambda *xs: fused(op, *xs)), stacked)


def test_transforms_of_torch_func(case):
    op, (first, *others) = smooth(case)
    slope = torch.func.grad(lambda x: fused(op, x, *others).sum())
    expected = torch.autograd.grad(fused(op, first, *others).sum(), first)[0]
    torch.testing.assert_close(slope(first), expected)
    hessian = torch.func.jacrev(slope)(first)
    exact = torch.func.jacrev(torch.func.grad(lambda x: op.plain(x, *others).sum()))(first)
    torch.testing.assert_close(hessian, exact)


def test_frozen_arguments(case):
    op, tensors = case
    inputs = leaves(tensors)
    expected = gradients(fused(op, *inputs), inputs)
    for k in range(len(tensors)):
        inputs = leaves(tensors)
        for j, x in enumerate(inputs):
            x.requires_grad_(j == k)
        value = fused(op, *inputs)
        if expected[k] is not None:
            assert_agree(gradients(value, [inputs[k]]), [expected[k]])


def test_several_backward_passes_through_one_graph(case):
    op, tensors = case
    inputs = leaves(tensors)
    value = fused(op, *inputs)
    first = gradients(value, inputs, retain_graph=True)
    assert_agree(gradients(value, inputs), first, rtol=0, atol=0)


def test_a_compiler_sees_the_plain_formula(case, monkeypatch):
    op, tensors = case
    value = fused(op, *tensors)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    plain = op._replace(value=None, grads=None)
    torch.testing.assert_close(fused(plain, *tensors), value)


def test_sizes_that_are_no_multiple_of_eight():
    for size in (1, 2, 5, 8, 12, 24):
        inputs = leaves((torch.randn(3, size), torch.randn(3, size)))
        torch.testing.assert_close(fused(sparse.KL, *inputs), reference(sparse.KL, inputs))


@pytest.mark.parametrize("name", OPS)
def test_extremes_are_finite(name):
    op, inputs = OPS[name]
    weights, logs = torch.tensor([0.0, 1e-30, -1e-12, 1.0, 30.0]), torch.tensor([-85.0, -40.0, 0.0, 8.0, 80.0])
    first, second = leaves(torch.meshgrid(weights, logs, indexing="ij"), torch.float32)
    tensors = (first, second) if len(inputs()) == 2 else (second,)
    if name == "variance":
        tensors = tuple(x.detach().clamp(-30, 30).requires_grad_() for x in tensors)  # e⁸⁰ · 30² is infinite, rightly
    value = fused(op, *tensors)
    assert value.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(value.sum(), tensors))


def test_kl_of_dropped_weights_is_exact_to_rounding():
    # All at the upper limit: the smallest KL of all, 1.7e-4 a weight, and half a million of them.
    weights = torch.full((500, 1000), 0.1)
    value = fused(sparse.KL, weights, torch.full_like(weights, 8.5) + weights.square().log())
    exact = weights.numel() * kl.sigmoid(torch.tensor(8.0, dtype=torch.float64))
    assert abs(value.item() - exact.item()) < weights.numel() * 2**-25  # half a unit of rounding of 1, each


def plain_loss(network, x, y, epsilon):
    """Return cross-entropy + KL/50 of a network of one kind of layer, by plain torch from the papers' formulas."""
    divergence = 0.0
    for layer, noise in zip(network[::2], epsilon, strict=True):
        w, b = layer.weight, layer.bias
        if isinstance(layer, SparseVD):
            log_alpha = (layer.log_sigma2 - (w.square() + 1e-300).log()).clamp(-8, 8)
            theta = w * (log_alpha <= 3) if layer.train_clip else w
            mean, variance = F.linear(x, theta, b), F.linear(x**2, log_alpha.exp() * w**2) + 1e-8
            sigmoid = torch.sigmoid(1.87320 + 1.48695 * log_alpha)
            terms = 0.63576 - 0.63576 * sigmoid + 0.5 * torch.log1p((-log_alpha).exp())
        elif isinstance(layer, VariationalDropout):
            log_alpha, alpha = layer.log_alpha, layer.log_alpha.exp()
            mean, variance = F.linear(x, w, b), F.linear(x**2, alpha * w**2)
            terms = kl.CONSTANT - 0.5 * log_alpha - 1.16145124 * alpha + 1.50204118 * alpha**2 - 0.58629921 * alpha**3
            terms = terms.expand_as(w)
        else:
            std, bias_std = layer.rho.exp().log1p(), layer.bias_rho.exp().log1p()
            mean, variance = F.linear(x, w, b), F.linear(x**2, std**2, bias_std**2)
            each = [(w, std), (b, bias_std)]
            terms = sum((0.5 * (m**2 + s**2) - 0.5 - s.log()).sum() for m, s in each)
        divergence = divergence + terms.sum()
        x = mean + variance.sqrt() * noise
        x = x.relu() if layer is not network[-1] else x
    return F.cross_entropy(x, y) + divergence / 50


@pytest.mark.parametrize(
    "make",
    [
        SparseVD,
        lambda layer: SparseVD(layer, train_clip=True),
        VariationalDropout,
        lambda layer: VariationalDropout(layer, per="weight"),
        MeanField,
    ],
    ids=["sparse", "train_clip", "unit", "weight", "mean-field"],
)
def test_gradient_of_a_whole_network_is_that_of_the_plain_formulas(make):
    network = convert(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double(), make)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if "log_sigma2" in name:
                p.copy_(torch.linspace(-11, 11, p.numel()).view_as(p))  # log α on both sides of all limits
            if "log_alpha" in name:
                p.sub_(torch.rand_like(p))
    x, y = torch.randn(5, 6).double(), torch.tensor([0, 1, 2, 0, 1])
    torch.manual_seed(7)
    loss = F.cross_entropy(network(x), y) + kl_of_network(network) / 50
    torch.manual_seed(7)
    epsilon = [torch.randn(5, outputs, dtype=torch.float64) for outputs in (8, 3)]
    expected = plain_loss(network, x, y, epsilon)
    torch.testing.assert_close(loss, expected)
    parameters = list(network.parameters())
    assert_agree(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters))


@pytest.mark.parametrize("make", [SparseVD, MeanField, lambda layer: VariationalDropout(layer, per="weight")])
def test_kl_is_always_that_of_the_present_parameters(make):
    layer, other = make(nn.Linear(4, 3)), make(nn.Linear(4, 3))
    layer(torch.randn(2, 4)).sum().backward()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    state = dict(other.named_parameters())

    class Kl(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self):
            return self.layer.kl()

    assert torch.equal(functional_call(Kl(), {f"layer.{n}": p for n, p in state.items()}, ()), other.kl())
    for name, p in layer.named_parameters():
        p.data.copy_(state[name])  # unseen by autograd
    assert torch.equal(layer.kl(), other.kl())
