"""The compiled training steps of linear layers, output and KL, against the plain formulas in double precision."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bnnbench.experiment.assembly import assemble, check
from bnnbench.kernels import loops
from bnnbench.layers import MeanField, SparseVD, VariationalDropout
from bnnbench.layers import joint_kl as joint_kls
from bnnbench.layers.fused import mean_field_linear, sparse, sparse_linear, vd_linear
from bnnbench.layers.joint_kl import joint_kl
from bnnbench.layers.kl import sigmoid
from bnnbench.layers.network import kl as network_kl

SIZES = ((4, 6, 5), (1, 1, 1), (3, 7, 1), (2, 301, 11), (0, 3, 2))  # data, inputs, outputs
Step = Callable[..., tuple[Tensor, Tensor] | None]


def draws(*shape: int) -> Tensor:
    seed = sum(shape)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mean_field(batch: int, inputs: int, outputs: int) -> tuple[list[Tensor], Step, Callable[[Tensor], Any]]:
    tensors = [draws(batch, inputs), draws(outputs, inputs), draws(outputs, inputs) * 3 - 2, draws(outputs)]
    tensors.append(draws(outputs + 1)[1:] - 3)
    return (
        tensors,
        lambda *t: mean_field_linear.mean_field_linear(*t, 0.7),
        lambda e: mean_field_linear._plain(e, 0.7),
    )


def of_vd(form: str, per: str, limit: float) -> Any:
    def vd(batch: int, inputs: int, outputs: int) -> tuple[list[Tensor], Step, Callable[[Tensor], Any]]:
        shape = {"layer": (), "unit": (inputs,), "weight": (outputs, inputs)}[per]
        tensors = [draws(batch, inputs), draws(outputs, inputs), draws(*shape, 2)[..., 0] - 0.5, draws(outputs)]
        return (
            tensors,
            lambda *t: vd_linear.vd_linear(*t, limit, form),
            lambda e: vd_linear._plain(e, limit, form),
        )

    return vd


def of_sparse(threshold: float | None) -> Any:
    def sparse_vd(batch: int, inputs: int, outputs: int) -> tuple[list[Tensor], Step, Callable[[Tensor], Any]]:
        theta = draws(outputs, inputs)
        theta[:, ::4] = 0
        log_alpha = torch.linspace(-11, 11, theta.numel()).view_as(theta) + 0.013
        log_sigma2 = log_alpha + theta.square().clamp_min(1e-6).log()
        tensors = [draws(batch, inputs), theta, log_sigma2, draws(outputs)]
        return (
            tensors,
            lambda *t: sparse_linear.sparse_linear(*t, threshold),
            lambda e: sparse_linear._plain(e, threshold),
        )

    return sparse_vd


STEPS = {
    "mean-field": mean_field,
    **{
        f"VD {form} {per} {limit}": of_vd(form, per, limit)
        for form, limit in (("cubic", 0.0), ("bound", 0.0), ("sigmoid", math.inf), ("none", math.inf))
        for per in ("layer", "unit", "weight")
    },
    **{f"sparse VD {threshold}": of_sparse(threshold) for threshold in (None, -8.0, 3.0)},
}


@pytest.fixture(autouse=True)
def known_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loops("layers") is not None
    for module in (mean_field_linear, vd_linear, sparse_linear):
        monkeypatch.setattr(module, "standard_normal", lambda like, shape: draws(*shape))


def doubled(tensors: list[Tensor]) -> list[Tensor]:
    return [t.detach().double().requires_grad_() for t in tensors]


def objective(y: Tensor, kl: Tensor) -> Tensor:
    return (y * draws(*y.shape).to(y.dtype)).sum() + 0.3 * kl


def close(found: Tensor | None, expected: Tensor | None) -> None:
    """Sums of a few hundred terms in single precision, beside the same in double."""
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        size = float(expected.abs().max()) if expected.numel() else 1.0
        torch.testing.assert_close(found.double(), expected, rtol=2e-4, atol=2e-5 * size + 1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", STEPS)
def test_values_and_slopes_are_those_of_the_plain_formula(name: str, size: tuple[int, int, int]) -> None:
    tensors, step, plain = STEPS[name](*size)
    single = [t.requires_grad_() for t in tensors]
    double = doubled(tensors)
    made = step(*single)
    assert made is not None
    expected = plain(draws(size[0], size[2]).double())(*double)
    for found, exact in zip(made, expected, strict=True):
        close(found, exact)
    slopes = torch.autograd.grad(objective(*made), single, allow_unused=True)
    for found, exact in zip(slopes, torch.autograd.grad(objective(*expected), double, allow_unused=True), strict=True):
        close(found, exact)


@pytest.mark.parametrize("what", [0, 1], ids=["output", "KL"])
@pytest.mark.parametrize("name", ["mean-field", "VD cubic unit 0.0", "VD sigmoid weight inf", "sparse VD 3.0"])
def test_output_and_kl_alone_have_their_own_slopes(name: str, what: int) -> None:
    tensors, step, plain = STEPS[name](4, 6, 5)
    single = [t.requires_grad_() for t in tensors]
    double = doubled(tensors)
    made = step(*single)
    assert made is not None
    found = torch.autograd.grad(made[what].sum(), single, allow_unused=True)
    expected = torch.autograd.grad(plain(draws(4, 5).double())(*double)[what].sum(), double, allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        close(torch.zeros(()) if a is None else a, torch.zeros((), dtype=torch.float64) if b is None else b)
    if what == 1:
        assert found[0] is None  # nor to the layers before


@pytest.mark.parametrize("name", STEPS)
def test_slopes_of_slopes_come_from_the_plain_formula(name: str) -> None:
    tensors, step, plain = STEPS[name](4, 6, 5)
    tensors[1] = tensors[1] + 0.1 * (tensors[1] == 0)  # away from where slopes jump
    single, double = [t.detach().requires_grad_() for t in tensors], doubled(tensors)
    made = step(*single)
    assert made is not None
    found, exact = [], []
    for values, given, kept in ((made, single, found), (plain(draws(4, 5).double())(*double), double, exact)):
        first = torch.autograd.grad(objective(*values), given[1], create_graph=True)[0]
        kept.append(torch.autograd.grad(first.square().sum(), given[1])[0])
    torch.testing.assert_close(found[0].double(), exact[0], rtol=1e-3, atol=1e-3 * float(exact[0].abs().max()))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["mean-field", "VD cubic weight 0.0", "VD sigmoid unit inf", "sparse VD None"])
@pytest.mark.parametrize("which", [1, 2])
def test_what_is_not_finite_is_left_to_the_plain_formula_or_stays(name: str, bad: float, which: int) -> None:
    tensors, step, plain = STEPS[name](4, 6, 5)
    tensors[which].view(-1)[0] = bad
    made = step(*[t.requires_grad_() for t in tensors])
    if made is not None:
        for found, exact in zip(made, plain(draws(4, 5).double())(*doubled(tensors)), strict=True):
            assert torch.equal(found.isfinite(), exact.isfinite())


def test_the_most_extreme_variances_are_held_whether_the_weight_is_0_or_not() -> None:
    theta = torch.tensor([[0.0, 0.5], [0.0, -0.5]], requires_grad=True)
    log_sigma2 = torch.tensor([[800.0, 800.0], [-800.0, -800.0]], requires_grad=True)
    x = torch.ones(3, 2, requires_grad=True)
    made = sparse_linear.sparse_linear(x, theta, log_sigma2, None, None)
    assert made is not None
    limits = torch.tensor([[8.0, 8.0], [8.0, -8.0]])
    torch.testing.assert_close(sparse.log_alpha(theta, log_sigma2), limits)
    torch.testing.assert_close(made[1], sigmoid(limits).sum(), rtol=1e-5, atol=1e-6)
    to_x, to_theta, to_log_sigma2 = torch.autograd.grad(objective(*made), (x, theta, log_sigma2))
    assert to_x.isfinite().all() and to_theta.isfinite().all()
    assert torch.equal(to_log_sigma2, torch.zeros_like(to_log_sigma2))


@pytest.mark.parametrize("method", ["mean_field", "vd", "sparse_vd"])
def test_a_run_makes_these_steps(method: str, compose: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    parts = assemble(check(compose(f"method={method}", "model.widths=[12]", "threads=1")))
    monkeypatch.undo()  # the noise of its own
    for layer in (MeanField, VariationalDropout, SparseVD):
        monkeypatch.setattr(layer, "moments", lambda self, x: pytest.fail("the plain formula"))
    monkeypatch.setattr(joint_kls, "store", counted := Counted(joint_kls.store))
    parts.potential(*parts.batches(0)).sum().backward()
    assert counted.calls == 2
    assert all(p.grad is not None for p in parts.chains.parameters.values())


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *given: Any) -> Any:
        self.calls += 1
        return self.function(*given)


def plain_layers() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "mean-field": MeanField(nn.Linear(6, 5)),
        "VD": VariationalDropout(nn.Linear(6, 5)),
        "sparse VD": SparseVD(nn.Linear(6, 5)),
    }


@pytest.mark.parametrize("name", plain_layers())
def test_the_kl_of_a_forward_pass_is_that_of_its_parameters_or_computed_anew(name: str) -> None:
    layer, x = plain_layers()[name], draws(3, 6)
    alone = network_kl(layer)
    with joint_kl():
        y = layer(x)
        joint, again = layer.kl(), layer.kl()
    assert joint.grad_fn is y.grad_fn and again.grad_fn is not joint.grad_fn  # handed on once
    for value in (joint, again):
        torch.testing.assert_close(value, alone, rtol=1e-5, atol=1e-5)
    layer(x)  # outside of the block nothing is handed on
    for p in layer.parameters():
        p.data.mul_(1.5)  # unseen by autograd
    torch.testing.assert_close(layer.kl(), copy.deepcopy(layer).kl(), rtol=0, atol=0)
    with joint_kl(), torch.no_grad():
        with torch.enable_grad():
            layer(x)
        for p in layer.parameters():
            p.mul_(0.5)
        torch.testing.assert_close(layer.kl(), copy.deepcopy(layer).kl(), rtol=0, atol=0)


@pytest.mark.parametrize("name", plain_layers())
def test_other_precisions_and_layouts_and_frozen_parameters(name: str) -> None:
    layer, x = plain_layers()[name], draws(3, 6)
    assert layer.double()(x.double()).dtype == torch.float64
    layer.float().weight.data = draws(6, 5).t()
    assert layer(x).shape == (3, 5)
    layer = plain_layers()[name]
    layer.weight.requires_grad_(False)
    with joint_kl():
        (layer(x).sum() + layer.kl()).backward()
    assert layer.weight.grad is None
    assert all(p.grad is not None for p in layer.parameters() if p.requires_grad)
