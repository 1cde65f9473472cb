"""What every sampler must do, over every file of bnnbench/samplers: a new one is checked by being there.

The law of each is checked beside it, in tests/samplers.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bnnbench.config.plugins import names
from bnnbench.inference.method import injects_noise, optimizer_class

N = 100
SAMPLERS = [name for name in names("samplers") if injects_noise(optimizer_class(name))]


def problem(dtype: torch.dtype = torch.float64) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
    """Return parameters of two shapes, and a closure that leaves the gradients of a quadratic form in them."""
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, dtype=dtype, generator=generator)) for shape in ((3, 2), (4,))]

    def closure() -> Tensor:
        loss = sum((i + 1) * p.square().sum() for i, p in enumerate(parameters))
        for p in parameters:
            p.grad = None
        loss.backward()
        return loss

    return parameters, closure


def seeded(seed: int) -> Callable[[Any], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return lambda tensors: [torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in tensors]


def silent(tensors: Any) -> list[Tensor]:
    raise AssertionError("noise was drawn at T = 0")


def make(name: str, parameters: Any, **options: Any) -> Optimizer:
    return optimizer_class(name)(parameters, lr=0.01, num_data=N, **options)


def walk(optimizer: Optimizer, closure: Callable[[], Tensor], steps: int) -> None:
    for _ in range(steps):
        optimizer.step(closure)


def equal(a: list[nn.Parameter], b: list[nn.Parameter]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_is_an_optimizer_of_torch_that_says_what_it_does(name: str) -> None:
    rule = optimizer_class(name)
    assert issubclass(rule, Optimizer)
    text = inspect.getdoc(rule) or ""
    assert "Args:" in text and "θ" in text  # its equation
    assert {"lr", "num_data", "temperature", "noise"} <= set(inspect.signature(rule).parameters)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_moves_parameters_in_their_own_precision(name: str, dtype: torch.dtype) -> None:
    parameters, closure = problem(dtype)
    before = [p.detach().clone() for p in parameters]
    optimizer = make(name, parameters, noise=seeded(1))
    loss = optimizer.step(closure)
    assert loss is not None and loss.dtype == dtype
    for p, old in zip(parameters, before, strict=True):
        assert p.dtype == dtype and not torch.equal(p, old)
    for state in optimizer.state.values():
        assert {v.dtype for v in state.values() if torch.is_tensor(v) and v.ndim} <= {dtype}


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_draws_noise_above_temperature_zero_alone(name: str) -> None:
    parameters, closure = problem()
    walk(make(name, parameters, temperature=0.0, noise=silent), closure, 2)
    first, second = problem(), problem()
    walk(make(name, first[0], noise=seeded(1)), first[1], 2)
    walk(make(name, second[0], noise=seeded(2)), second[1], 2)
    assert not equal(first[0], second[0])


@pytest.mark.parametrize("name", SAMPLERS)
def test_temperature_and_step_size_are_those_of_a_group(name: str) -> None:
    parameters, closure = problem()
    hot, cold = parameters
    first = [p.detach().clone() for p in parameters]
    optimizer = make(name, [{"params": [hot], "temperature": 4.0}, {"params": [cold], "lr": 0.0, "temperature": 0.0}])
    walk(optimizer, closure, 3)
    assert not torch.equal(hot, first[0])
    assert torch.equal(cold, first[1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_parameter_without_a_gradient_stays(name: str) -> None:
    parameters, closure = problem()
    idle = nn.Parameter(torch.ones(2, dtype=torch.float64))
    walk(make(name, [*parameters, idle], noise=seeded(1)), closure, 2)
    assert torch.equal(idle, torch.ones_like(idle))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_schedule_of_torch_steers_its_step_size(name: str) -> None:
    parameters, closure = problem()
    optimizer = make(name, parameters, temperature=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.0 if t else 1.0)
    optimizer.step(closure)
    schedule.step()
    before = [p.detach().clone() for p in parameters]
    optimizer.step(closure)
    assert equal(parameters, before)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("way", ["state_dict", "deepcopy"])
def test_a_restored_copy_continues_to_the_bit(name: str, way: str) -> None:
    parameters, closure = problem()
    optimizer = make(name, parameters, noise=seeded(1))
    walk(optimizer, closure, 3)
    if way == "deepcopy":
        restored = copy.deepcopy(optimizer)
        others = [p for group in restored.param_groups for p in group["params"]]
    else:
        others, _ = problem()
        restored = make(name, others)
        restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for p, q in zip(others, parameters, strict=True):
            p.data = q.detach().clone()
    optimizer.noise, restored.noise = seeded(2), seeded(2)
    for _ in range(3):
        optimizer.step(closure)
        for p, q in zip(others, parameters, strict=True):
            p.grad = None if q.grad is None else q.grad.clone()
        restored.step()
        assert equal(others, parameters)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"num_data": 0}, {"temperature": -1.0}, {"temperature": float("nan")}])
def test_impossible_values_are_refused_by_name(name: str, wrong: dict[str, float]) -> None:
    parameters, _ = problem()
    (word,) = wrong
    with pytest.raises(ValueError, match=word):
        optimizer_class(name)(parameters, **{"lr": 0.01, "num_data": N, **wrong})


@pytest.mark.parametrize("name", [name for name in SAMPLERS if hasattr(optimizer_class(name), "preconditioner")])
def test_a_declared_preconditioner_is_that_of_the_step(name: str) -> None:
    """θ ← θ − η G ∇Ū at T = 0; None while G may still move with θ."""
    parameters, closure = problem()
    optimizer = make(name, parameters, temperature=0.0, **({"v_adapt": 4} if name == "psgld" else {}))
    walk(optimizer, closure, 6)
    before = [p.detach().clone() for p in parameters]
    declared = [optimizer.preconditioner(p) for p in parameters]
    optimizer.step(closure)
    for p, old, g in zip(parameters, before, declared, strict=True):
        assert g is not None and g.shape == p.shape
        assert torch.allclose(p, old - 0.01 * g * p.grad, rtol=1e-10)
