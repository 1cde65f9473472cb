"""Steps made in one pass against the plain formula, on the same noise; and when the plain formula makes them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bnnbench.inference.random import CounterNoise
from bnnbench.samplers import PSGLD, SGLD, _one_pass, psgld, sgld

RULES: dict[str, tuple[type, dict[str, Any]]] = {
    "sgld": (SGLD, {}),
    "psgld": (PSGLD, {}),
    "psgld, first square": (PSGLD, {"v_start": "first_square", "v_gradient": "posterior"}),
    "psgld, fixed": (PSGLD, {"alpha": 1.0, "v_start": "first_square"}),
    "psgld, held": (PSGLD, {"alpha": 0.5, "v_adapt": 9}),
    "psgld, held, posterior": (PSGLD, {"alpha": 0.5, "v_adapt": 9, "v_gradient": "posterior"}),
}
SHAPES = ((7, 5), (1,), (0,), (3, 4, 2), (1001,))
STEPS = 25


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], list[int]]]:
    """Return a switch: loops on or off; it returns a list whose length counts the steps that loops have made."""

    def switch(on: bool) -> list[int]:
        made: list[int] = []

        def one_pass(*given: Any) -> Any:
            found = _one_pass.one_pass(*given) if on else None
            made.extend([1] * (found is not None))
            return found

        for module in (sgld, psgld):
            monkeypatch.setattr(module, "one_pass", one_pass)
        return made

    yield switch


def steps(rule: str, chains: int = 1, change: Callable[[list[nn.Parameter]], Any] = lambda _: None, **more: Any) -> Any:
    """Return the parameters after `STEPS` steps on random gradients, and the sampler."""
    torch.manual_seed(0)
    lead = () if chains == 1 else (chains,)
    params = [nn.Parameter(torch.randn(*lead, *shape)) for shape in SHAPES]
    change(params)
    cls, options = RULES[rule]
    noise = CounterNoise(range(chains))
    groups = [{"params": params[:2], "weight_decay": 0.02}, {"params": params[2:]}]
    sampler = cls(groups, lr=0.01, num_data=50, noise=noise, **options | more)
    for step in range(STEPS):
        noise.begin(step)
        for p in params:
            p.grad = torch.randn(p.shape, dtype=p.dtype).as_strided(p.shape, p.stride())
        sampler.step()
    return params, sampler


@pytest.mark.parametrize("chains", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_in_one_pass_is_the_plain_step(rule: str, chains: int, passes: Any) -> None:
    assert not passes(False)
    plain, of_plain = steps(rule, chains)
    made = passes(True)
    fast, of_fast = steps(rule, chains)
    assert len(made) >= 2 * (STEPS - 9)
    for a, b in zip(plain, fast, strict=True):
        # Each step rounds some ten results, at most of the size of θ; steps of size 0.01 keep θ of order 1.
        torch.testing.assert_close(a, b, rtol=STEPS * 1e-6, atol=STEPS * 1e-6)
    for a, b in zip(plain, fast, strict=True):
        if "psgld" in rule:
            torch.testing.assert_close(of_plain.state[a]["V"], of_fast.state[b]["V"], rtol=1e-4, atol=1e-6)


def test_it_is_the_same_step_whatever_the_other_chains(passes: Any) -> None:
    passes(True)
    torch.manual_seed(3)
    start, grad = torch.randn(2, 31), torch.randn(2, 31)
    ends = []
    for seeds in ((4, 5), (5,)):
        p = nn.Parameter(start[-len(seeds) :].clone() if len(seeds) > 1 else start[1].clone())
        p.grad = grad.clone() if len(seeds) > 1 else grad[1].clone()
        SGLD([p], lr=0.1, num_data=10, noise=CounterNoise(seeds)).step()
        ends.append(p.detach().reshape(-1, 31)[-1])
    assert torch.equal(*ends)


@pytest.mark.parametrize("rule", ["sgld", "psgld"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_so(rule: str, value: float, passes: Any) -> None:
    made = passes(True)
    p = nn.Parameter(torch.zeros(9))
    noise = CounterNoise([0])
    sampler = RULES[rule][0]([p], lr=0.1, num_data=10, noise=noise)
    for step in range(3):
        noise.begin(step)
        p.grad = torch.ones(9)
        p.grad[4] = value if step == 1 else 1.0
        sampler.step()
    assert made
    assert not p[4].isfinite() and p[[0, 1, 2, 3, 5, 6, 7, 8]].isfinite().all()


def transposed(params: list[nn.Parameter]) -> None:
    params[0].data = torch.randn(5, 7).t()


def doubled(params: list[nn.Parameter]) -> None:
    for p in params:
        p.data = p.data.double()


@pytest.mark.parametrize("change", [transposed, doubled])
@pytest.mark.parametrize("rule", ["sgld", "psgld"])
def test_other_layouts_and_precisions_take_the_plain_formula(rule: str, change: Any, passes: Any) -> None:
    passes(False)
    plain, _ = steps(rule, change=change)
    made = passes(True)
    mixed, _ = steps(rule, change=change)
    assert len(made) < 2 * STEPS - 1
    for a, b in zip(plain, mixed, strict=True):
        torch.testing.assert_close(a, b, rtol=STEPS * 1e-6, atol=STEPS * 1e-6)


def test_gradients_of_other_strides_are_read_as_they_are(passes: Any) -> None:
    ends = []
    for on in (False, True):
        made = passes(on)
        p = nn.Parameter(torch.zeros(3, 4))
        p.grad = torch.arange(12.0).view(4, 3).t()
        SGLD([p], lr=0.1, num_data=10, noise=CounterNoise([0])).step()
        ends.append(p.detach())
    assert made
    torch.testing.assert_close(*ends)


def test_overlapping_parameters_take_the_plain_formula(passes: Any) -> None:
    made = passes(True)
    p = nn.Parameter(torch.zeros(3, 1).expand(3, 4).clone())
    p.data = torch.zeros(3, 1).expand(3, 4)
    p.grad = torch.ones(3, 4)
    with pytest.raises(RuntimeError):  # torch's own word on it
        SGLD([p], lr=0.1, num_data=10, noise=CounterNoise([0])).step()
    assert not made


@pytest.mark.parametrize("rule", ["sgld", "psgld"])
def test_autograd_hears_of_the_change(rule: str, passes: Any) -> None:
    passes(True)
    p = nn.Parameter(torch.ones(5))
    sampler = RULES[rule][0]([p], lr=0.1, num_data=10, noise=CounterNoise([0]))
    for _ in range(2):
        y = (p**2).sum()
        before = p._version
        p.grad = torch.ones(5)
        sampler.step()
        assert p._version > before
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()


@pytest.mark.parametrize("rule", RULES)
def test_copies_go_on_alike(rule: str, passes: Any) -> None:
    passes(True)
    params, sampler = steps(rule)
    twin = copy.deepcopy(sampler)
    others = [p for group in twin.param_groups for p in group["params"]]
    for p, q in zip(params, others, strict=True):
        p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
    for one in (sampler, twin):
        one.noise.begin(99)
        one.step()
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


def test_no_temperature_is_the_optimiser_to_the_bit(passes: Any) -> None:
    made = passes(True)
    ends: list[Tensor] = []
    for cls, options in (
        (SGLD, {"num_data": 5, "temperature": 0.0, "noise": CounterNoise([0])}),
        (torch.optim.SGD, {}),
    ):
        torch.manual_seed(0)
        p = nn.Parameter(torch.randn(50))
        rule = cls([p], lr=0.1, weight_decay=0.1, **options)
        for _ in range(3):
            p.grad = torch.randn(50)
            rule.step()
        ends.append(p.detach())
    assert not made and torch.equal(*ends)
