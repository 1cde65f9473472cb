"""The term Γ of pSGLD: against finite differences, against double backward, and by the law that it corrects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from support.laws import GridLaw, K
from torch import Tensor, nn

from bnnbench.samplers import PSGLD

N, LR, TEMPERATURE, ALPHA, LAMBDA = 40, 0.3, 0.7, 0.9, 2e-2


def no_noise(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) for t in tensors]


class Problem:
    """A small network with a loss of its parameters alone, and a gradient history for V."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        self.x, self.y = torch.randn(12, 3).double(), torch.randn(12, 1).double()
        self.params = list(self.network.parameters())
        self.v = [torch.rand_like(p) for p in self.params]

    def loss(self) -> Tensor:
        return ((self.network(self.x) - self.y) ** 2).mean()

    def gradient(self) -> list[Tensor]:
        return list(torch.autograd.grad(self.loss(), self.params))

    def preconditioner(self) -> list[Tensor]:
        """Return G(θ) = 1/(λ + √(αV + (1 − α) ḡ(θ)²)) at the present θ, as printed."""
        return [
            1 / (LAMBDA + (ALPHA * v + (1 - ALPHA) * g**2).sqrt()) for v, g in zip(self.v, self.gradient(), strict=True)
        ]

    def gamma_of_a_step(self, gamma: str, noise=no_noise) -> list[Tensor]:
        """Return Γ as one step shows it: its displacement less that of a step without Γ, over η T / N."""
        before = [p.detach().clone() for p in self.params]
        moved = []
        for how in (gamma, "none"):
            sampler = PSGLD(self.params, LR, N, TEMPERATURE, ALPHA, LAMBDA, gamma=how, noise=no_noise)
            for p, v in zip(self.params, self.v, strict=True):
                sampler.state[p]["V"] = v.clone()
            if how == "none":
                for p, g in zip(self.params, self.gradient(), strict=True):
                    p.grad = g
                sampler.step()
            else:
                calls = iter((noise,))  # the first draw gives Hutchinson's signs, the second the injected noise
                sampler.noise = lambda t, calls=calls: next(calls, no_noise)(t)
                sampler.step(self.loss)
            moved.append([p.detach().clone() for p in self.params])
            with torch.no_grad():
                for p, b in zip(self.params, before, strict=True):
                    p.copy_(b)
        return [(a - b) * N / (LR * TEMPERATURE) for a, b in zip(*moved, strict=True)]


def test_exact_gamma_equals_finite_differences() -> None:
    problem, h = Problem(), 1e-5
    gamma = problem.gamma_of_a_step("exact")
    for block, p in enumerate(problem.params):
        for i in range(p.numel()):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    p.view(-1)[i] += sign * h
                values.append(problem.preconditioner()[block].view(-1)[i].item())
                with torch.no_grad():
                    p.view(-1)[i] -= sign * h
            difference = (values[0] - values[1]) / (2 * h)
            # error of the central difference O(h²), of the rounding O(1e-16 G / h), of the subtraction of two steps
            assert gamma[block].view(-1)[i].item() == pytest.approx(difference, rel=1e-6, abs=1e-7)


def test_exact_gamma_equals_the_full_hessian() -> None:
    problem = Problem()
    shapes = [p.shape for p in problem.params]
    sizes = [p.numel() for p in problem.params]
    names = [n for n, _ in problem.network.named_parameters()]

    def loss_of(flat: Tensor) -> Tensor:
        values = {n: v.view(s) for n, v, s in zip(names, flat.split(sizes), shapes, strict=True)}
        return ((torch.func.functional_call(problem.network, values, (problem.x,)) - problem.y) ** 2).mean()

    flat = torch.cat([p.detach().reshape(-1) for p in problem.params])
    diagonal = torch.autograd.functional.hessian(loss_of, flat).diagonal()
    g = torch.cat([g.reshape(-1) for g in problem.gradient()])
    v = ALPHA * torch.cat([v.reshape(-1) for v in problem.v]) + (1 - ALPHA) * g**2
    expected = -(1 - ALPHA) * g * diagonal / (v.sqrt() * (LAMBDA + v.sqrt()) ** 2)
    gamma = torch.cat([t.reshape(-1) for t in problem.gamma_of_a_step("exact")])
    torch.testing.assert_close(gamma, expected, rtol=1e-9, atol=1e-10)


def test_hutchinson_is_unbiased() -> None:
    problem, draws = Problem(), 400
    generator = torch.Generator().manual_seed(1)

    def noise(tensors: Sequence[Tensor]) -> list[Tensor]:
        return [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in tensors]

    def flat(gamma: list[Tensor]) -> Tensor:
        return torch.cat([t.reshape(-1) for t in gamma])

    exact = flat(problem.gamma_of_a_step("exact"))
    sample = torch.stack([flat(problem.gamma_of_a_step("hutchinson", noise)) for _ in range(draws)])
    error = sample.std(0) / math.sqrt(draws)
    assert ((sample.mean(0) - exact).abs() <= K * error + 1e-12).all()
    assert sample.std(0).max() > 0  # a network's Hessian is not diagonal: the estimate must vary


def grid_law(gamma: bool, lr: float, kappa: float = 1.0, lambda_: float = 0.3) -> GridLaw:
    """Return the law of the chain with α = 0 on U = N κ x²/2, where G = 1/(λ + κ|x|) and Γ = −G² κ sign(x)."""
    grid = np.linspace(-3.0, 3.0, 1201) * math.sqrt(1 / (N * kappa)) * 3
    g = 1 / (lambda_ + kappa * np.abs(grid))
    drift = g * kappa * grid - (1 / N) * (-(g**2) * kappa * np.sign(grid) if gamma else 0.0)
    return GridLaw(grid - lr * drift, np.sqrt(2 * lr * g / N), grid)


@pytest.mark.parametrize("gamma", ["none", "hutchinson"])
def test_a_preconditioner_that_moves_with_theta_has_the_law_of_its_chain(gamma: str) -> None:
    """With α = 0 the chain is Markov in θ alone and its exact law is known numerically, with Γ and without.

    The Hessian of independent coordinates is diagonal, where Hutchinson's estimate is exact (the next test).
    """
    torch.manual_seed(0)
    copies, lr = 40_000, 0.02
    theta = torch.nn.Parameter(torch.randn(copies, dtype=torch.float64) / math.sqrt(N))
    sampler = PSGLD([theta], lr, N, alpha=0.0, lambda_=0.3, gamma=gamma)
    for _ in range(400):
        if gamma == "none":
            plain_step(sampler, theta)
        else:
            sampler.step(lambda: 0.5 * (theta**2).sum())
    grid_law(gamma != "none", lr).assert_sample(theta.detach().numpy())


def test_hutchinson_is_exact_for_a_diagonal_hessian() -> None:
    start = torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pair = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    for p, how in zip(pair, ("exact", "hutchinson"), strict=True):
        sampler = PSGLD([p], 0.02, N, alpha=0.0, lambda_=0.3, gamma=how, noise=signs_without_noise)
        sampler.step(lambda p=p: (p**4).sum())
    torch.testing.assert_close(pair[0], pair[1], rtol=1e-12, atol=1e-14)


def signs_without_noise(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return values whose signs Hutchinson can use and which are nothing as noise."""
    return [torch.full_like(t, 1e-30) for t in tensors]


def plain_step(sampler: PSGLD, theta: Tensor) -> None:
    sampler.zero_grad()
    (0.5 * (theta**2).sum()).backward()
    sampler.step()


def test_gamma_brings_the_chain_to_the_target() -> None:
    """As η → 0 the law with Γ is the target, variance 1/N; without Γ its density is multiplied by 1/G = λ + κ|x|."""
    target = 1 / N
    # The error is of first order in η: 2 v(η/2) − v(η) leaves the second, (ηκ/λ)² ≈ 1e-4 at this η.
    with_gamma, without = (
        2 * grid_law(gamma, 0.002).moment(2) - grid_law(gamma, 0.004).moment(2) for gamma in (True, False)
    )
    # E[x² (λ + |x|)] / E[λ + |x|] under the target, s its standard deviation
    s, m = math.sqrt(target), math.sqrt(2 / math.pi)
    biased = target * (0.3 + 2 * m * s) / (0.3 + m * s)
    assert with_gamma == pytest.approx(target, rel=1e-3)
    assert without == pytest.approx(biased, rel=1e-3)
    assert biased / target > 1.15


def test_gamma_needs_the_closure() -> None:
    theta = torch.nn.Parameter(torch.ones(2))
    sampler = PSGLD([theta], 0.1, N, gamma="hutchinson")
    with pytest.raises(ValueError, match="closure"):
        sampler.step()

    def with_backward() -> Tensor:
        loss = (theta**3).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="not call backward"):
        sampler.step(with_backward)


def test_exact_gamma_refuses_a_large_network() -> None:
    theta = torch.nn.Parameter(torch.ones(30_000))
    with pytest.raises(ValueError, match="hutchinson"):
        PSGLD([theta], 0.1, N, gamma="exact")


def test_a_first_square_depends_on_theta_with_all_its_weight() -> None:
    """At a first step V = ḡ², so Γ = ∂/∂θ 1/(λ + |ḡ|), without the factor 1 − α."""
    start = torch.tensor([0.7, -1.2], dtype=torch.float64)
    moved = []
    for gamma in ("exact", "none"):
        p = torch.nn.Parameter(start.clone())
        sampler = PSGLD([p], LR, N, TEMPERATURE, 0.99, 0.5, v_start="first_square", gamma=gamma, noise=no_noise)
        if gamma == "none":
            (p**3).sum().backward()
            sampler.step()
        else:
            sampler.step(lambda p=p: (p**3).sum())
        moved.append(p.detach())
    found = (moved[0] - moved[1]) * N / (LR * TEMPERATURE)
    g, h = 3 * start**2, 6 * start  # ∂/∂θ 1/(λ + g) = −h/(λ + g)²
    torch.testing.assert_close(found, -h / (0.5 + g) ** 2, rtol=1e-9, atol=1e-12)


def test_at_zero_temperature_gamma_costs_nothing() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    sampler = PSGLD([p], 0.1, N, temperature=0.0, gamma="hutchinson")
    assert not sampler.needs_closure
    assert sampler.backward_passes == 1
    assert PSGLD([p], 0.1, N, gamma="hutchinson").backward_passes == 2
    assert PSGLD([p], 0.1, N, gamma="exact").backward_passes == 4


def test_a_parameter_outside_the_loss_stays_where_it_is() -> None:
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    unused.grad = torch.ones(2)  # left over from something else
    PSGLD([used, unused], 0.1, N, gamma="hutchinson").step(lambda: (used**3).sum())
    assert torch.equal(unused.detach(), torch.ones(2))
    assert not torch.equal(used.detach(), torch.ones(2))


def test_at_zero_temperature_a_closure_for_gamma_is_differentiated_all_the_same() -> None:
    p = torch.nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    q = torch.nn.Parameter(p.detach().clone())
    with_gamma, plain = (PSGLD([x], 1e-2, N, gamma=how) for x, how in ((p, "hutchinson"), (q, "none")))
    for sampler in (with_gamma, plain):
        sampler.param_groups[0]["temperature"] = 0.0
    for _ in range(5):
        with_gamma.step(lambda: (p**4).sum())
        plain.zero_grad()
        (q**4).sum().backward()
        plain.step()
    assert torch.equal(p, q)


def test_exact_gamma_takes_parameters_of_any_strides() -> None:
    torch.manual_seed(0)
    start = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        p = torch.nn.Parameter(start.clone().contiguous(memory_format=layout))
        PSGLD([p], 1e-2, N, alpha=0.0, lambda_=0.5, gamma="exact", noise=no_noise).step(lambda p=p: (p**4).sum())
        moved.append(p.detach())
    torch.testing.assert_close(*moved)
