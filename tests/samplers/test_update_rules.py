"""The update rules step by step: T = 0 is the optimiser, noise has the right scale, bad values are refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bnnbench.samplers import PSGLD, SGLD

N = 200


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def train(model: nn.Module, optimiser: torch.optim.Optimizer, steps: int = 30) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(steps):
        x, y = torch.randn(16, 5, generator=generator), torch.randint(3, (16,), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_sgld_at_zero_temperature_is_sgd_to_the_bit(decay: float) -> None:
    ours, theirs = network(), network()
    a = train(ours, SGLD(ours.parameters(), 0.1, N, temperature=0.0, weight_decay=decay))
    b = train(theirs, torch.optim.SGD(theirs.parameters(), 0.1, weight_decay=decay))
    assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_psgld_at_zero_temperature_is_rmsprop_to_the_bit(decay: float) -> None:
    ours, theirs = network(), network()
    sampler = PSGLD(
        ours.parameters(), 1e-3, N, 0.0, alpha=0.99, lambda_=1e-5, weight_decay=decay, v_gradient="posterior"
    )
    a = train(ours, sampler)
    b = train(theirs, torch.optim.RMSprop(theirs.parameters(), 1e-3, alpha=0.99, eps=1e-5, weight_decay=decay))
    assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def test_psgld_follows_the_printed_algorithm() -> None:
    """Four steps with a given noise, against the equations written out in double precision, prior not in V."""
    lr, alpha, lambda_, decay, temperature = 0.05, 0.8, 0.1, 0.02, 0.6
    gradients = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for v_gradient in ("likelihood", "posterior"):
        for v_start in ("zero", "first_square"):
            draws = iter(noise)
            theta = nn.Parameter(torch.ones(6, dtype=torch.float64))
            sampler = PSGLD(
                [theta],
                lr,
                N,
                temperature,
                alpha,
                lambda_,
                decay,
                v_gradient=v_gradient,
                v_start=v_start,
                noise=lambda tensors, draws=draws: [next(draws)],
            )
            x, v = torch.ones(6, dtype=torch.float64), None
            for gradient, xi in zip(gradients, noise, strict=True):
                theta.grad = gradient.clone()
                sampler.step()
                full = gradient + decay * x
                g_bar = full if v_gradient == "posterior" else gradient
                if v is None:
                    v = g_bar**2 if v_start == "first_square" else (1 - alpha) * g_bar**2
                else:
                    v = alpha * v + (1 - alpha) * g_bar**2
                g = 1 / (lambda_ + v.sqrt())
                x = x - lr * g * full + (2 * lr * temperature * g / N).sqrt() * xi
            torch.testing.assert_close(theta.detach(), x, rtol=1e-12, atol=1e-14)


def test_each_group_has_its_own_temperature_and_decay() -> None:
    a, b = nn.Parameter(torch.ones(1000)), nn.Parameter(torch.ones(1000))
    sampler = SGLD([{"params": [a], "temperature": 0.0, "weight_decay": 0.5}, {"params": [b]}], lr=0.1, num_data=N)
    a.grad, b.grad = torch.zeros(1000), torch.zeros(1000)
    sampler.step()
    assert torch.equal(a.detach(), torch.full((1000,), 1 - 0.1 * 0.5))
    assert b.std().item() == pytest.approx(math.sqrt(2 * 0.1 / N), rel=4.5 / math.sqrt(2 * 1000))


def test_a_sampler_continues_from_its_state_dict() -> None:
    whole, first = network(), network()
    kwargs = {"lr": 1e-3, "num_data": N, "temperature": 0.0}
    expected = train(whole, PSGLD(whole.parameters(), **kwargs), 10)
    one = PSGLD(first.parameters(), **kwargs)
    generator = torch.Generator().manual_seed(7)
    for step in range(10):
        if step == 5:
            saved, one = one.state_dict(), PSGLD(first.parameters(), **kwargs)
            one.load_state_dict(saved)
        x, y = torch.randn(16, 5, generator=generator), torch.randint(3, (16,), generator=generator)
        one.zero_grad()
        nn.functional.cross_entropy(first(x), y).backward()
        one.step()
    assert all(torch.equal(p, q) for p, q in zip(expected, first.parameters(), strict=True))


@pytest.mark.parametrize(
    ("rule", "bad", "word"),
    [
        (SGLD, {"lr": 0.0}, "lr"),
        (SGLD, {"lr": math.nan}, "lr"),
        (SGLD, {"num_data": 0}, "num_data"),
        (SGLD, {"temperature": -1.0}, "temperature"),
        (SGLD, {"weight_decay": -1.0}, "weight_decay"),
        (PSGLD, {"alpha": 1.5}, "alpha"),
        (PSGLD, {"alpha": 1.0}, "first_square"),
        (PSGLD, {"lambda_": 0.0}, "lambda_"),
        (PSGLD, {"gamma": "all"}, "gamma"),
        (PSGLD, {"v_gradient": "prior"}, "v_gradient"),
        (PSGLD, {"v_start": "one"}, "v_start"),
    ],
)
def test_values_out_of_range_are_refused_by_name(rule: type, bad: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        rule([nn.Parameter(torch.zeros(1))], **{"lr": 0.1, "num_data": N, **bad})
