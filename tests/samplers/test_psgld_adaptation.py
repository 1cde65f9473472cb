"""pSGLD whose V is held after an adaptation, at its default α, λ and step: its law, the posterior, what V learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from support.laws import K, assert_gaussian_sample, stationary_variance
from torch import Tensor

from bnnbench.samplers import PSGLD

N, PRIOR_VARIANCE, MEAN, SPREAD = 100, 1.0, 0.3, 2.0  # N data of variance 1 around MEAN in the likelihood; sd of y
DECAY = 1 / (N * PRIOR_VARIANCE)
H = 1 + DECAY  # Hessian of Ū, the potential per datum
PRECISION = N * H
POSTERIOR_MEAN = MEAN / H
LR, ALPHA, LAMBDA = 5e-4, 0.99, 1e-5  # the defaults of method=psgld and of the class
BATCH = 5
Gradient = Callable[[Tensor], Tensor]


def full_batch(theta: Tensor) -> Tensor:
    return theta - MEAN


def independent(theta: Tensor) -> Tensor:
    """The gradient on BATCH independent data, for every copy its own."""
    return theta - MEAN + torch.randn_like(theta) * SPREAD / math.sqrt(BATCH)


class Reshuffled:
    """The gradient on BATCH of N data, each once in an epoch, every copy in an order of its own."""

    def __init__(self, copies: int) -> None:
        y = torch.randn(N, dtype=torch.float64)
        self.y = MEAN + SPREAD * (y - y.mean()) / y.std(correction=0)
        self.copies, self.step = copies, 0

    def __call__(self, theta: Tensor) -> Tensor:
        if self.step % (N // BATCH) == 0:
            self.order = torch.rand(self.copies, N).argsort(1)
        start = self.step % (N // BATCH) * BATCH
        self.step += 1
        return theta - self.y[self.order[:, start : start + BATCH]].mean(1)


def sample(gradient: Gradient, copies: int, steps: int, lr: float = LR, **options: object) -> tuple[Tensor, Tensor]:
    """Return θ and G of independent chains that start at the posterior."""
    theta = torch.nn.Parameter(POSTERIOR_MEAN + torch.randn(copies, dtype=torch.float64) / math.sqrt(PRECISION))
    sampler = PSGLD([theta], lr, N, weight_decay=DECAY, **options)
    for _ in range(steps):
        theta.grad = gradient(theta.detach())
        sampler.step()
    return theta.detach(), 1 / (LAMBDA + sampler.state[theta]["V"].sqrt())


def standardised(theta: Tensor, g: Tensor, c: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return θ standardised by the law of its copy's discrete chain, and that law's variance over the posterior's."""
    variance = stationary_variance(2 * LR / N, PRECISION, 1.0, c, g)
    return (theta - POSTERIOR_MEAN) / variance.sqrt(), variance * PRECISION


def test_full_batch_it_has_the_law_of_its_discrete_chain_and_all_but_samples_the_posterior() -> None:
    torch.manual_seed(0)
    theta, g = sample(full_batch, 10_000, 4000, v_adapt=1000)
    z, ratio = standardised(theta, g)
    assert_gaussian_sample(z.numpy(), 0.0, 1.0)
    # What the step explains, ηGH/2, is far below 5 % here, and it is all that there is.
    assert ((ratio > 1) & (ratio < 1.05)).all()
    observed = (theta - POSTERIOR_MEAN).square() * PRECISION
    assert abs(observed.mean() - ratio.mean()) < K * math.sqrt(2 / len(theta)) * ratio.mean()


def test_with_minibatches_it_has_the_law_of_its_discrete_chain() -> None:
    torch.manual_seed(1)
    theta, g = sample(independent, 5000, 9000, v_adapt=1000)
    z, ratio = standardised(theta, g, c=N**2 * SPREAD**2 / BATCH)
    assert_gaussian_sample(z.numpy(), 0.0, 1.0)
    assert ((ratio > 1) & (ratio < 1.05)).all()  # the gradients' noise is 0.022 of the injected one


@pytest.mark.slow
def test_reshuffled_minibatches_add_less_noise_than_independent_ones() -> None:
    torch.manual_seed(2)
    copies = 1500
    theta, g = sample(Reshuffled(copies), copies, 9000, v_adapt=1000)
    without, ratio_without = standardised(theta, g)
    with_noise, ratio_with = standardised(theta, g, c=N**2 * SPREAD**2 / BATCH)
    error = K * math.sqrt(2 / copies)
    assert without.square().mean() > 1 - error and with_noise.square().mean() < 1 + error
    assert (ratio_without.mean() < ratio_with.mean() < 1.05).item()


def test_a_v_that_moves_always_has_another_law_and_smaller_steps_do_not_help() -> None:
    """Why V is held: what the docstring says of the algorithm as printed."""
    torch.manual_seed(3)
    ratios = []
    for lr in (0.02, 0.001):
        theta, g = sample(full_batch, 4000, 6000, lr=lr, v_adapt="always")
        step = (1 / (1 - lr * g * H / 2)).mean()  # what a fixed G of this size explains
        ratios.append(((theta - POSTERIOR_MEAN).square() * PRECISION).mean() / step)
    assert ratios[1] > ratios[0] + 0.1 and ratios[1] > 1.2


def test_v_is_held_at_the_mean_of_the_later_half() -> None:
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    sampler = PSGLD([p], 1e-9, N, temperature=0.0, v_adapt=7)
    gradients = torch.randn(10, 3, dtype=torch.float64)
    for step, g in enumerate(gradients, start=1):
        p.grad = g.clone()
        sampler.step()
        if step >= 7:
            torch.testing.assert_close(sampler.state[p]["V"], gradients[3:7].square().mean(0))
            assert set(sampler.state[p]) == {"V"}


@pytest.mark.parametrize(("v_adapt", "quiet"), [(1000, 100), (60, 30), (2, 1)])
def test_no_noise_meets_a_cold_v(v_adapt: int, quiet: int) -> None:
    """Noise waits ⌈1/(1 − α)⌉ steps, or half of a shorter adaptation, and V is debiased meanwhile."""
    drawn = []

    def noise(tensors: list[Tensor]) -> list[Tensor]:
        drawn.append(step)
        return [torch.zeros_like(t) for t in tensors]

    p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    sampler = PSGLD([p], 1e-3, N, v_adapt=v_adapt, noise=noise)
    for step in range(1, quiet + 3):  # noqa: B007 (`noise` reads it)
        before, p.grad = p.detach().clone(), torch.full_like(p, 0.25)
        sampler.step()
        if v_adapt > 2:  # equal gradients: a debiased V is their square from the first step on
            torch.testing.assert_close(before - p.detach(), torch.full_like(p, 1e-3 * 0.25 / (0.25 + LAMBDA)))
    assert drawn == [quiet + 1, quiet + 2]


def test_a_cold_v_does_not_throw_the_chain_away() -> None:
    torch.manual_seed(4)
    theta, _ = sample(full_batch, 2000, 120, v_adapt=1000)  # 20 steps with noise, right after the quiet ones
    assert (theta - POSTERIOR_MEAN).abs().max() * math.sqrt(PRECISION) < 6


@pytest.mark.parametrize("gamma", ["hutchinson", "exact"])
def test_gamma_of_a_cold_v_is_bounded(gamma: str) -> None:
    torch.manual_seed(5)
    copies = 200
    theta = torch.nn.Parameter(POSTERIOR_MEAN + torch.randn(copies, dtype=torch.float64) / math.sqrt(PRECISION))
    sampler = PSGLD([theta], 0.005, N, weight_decay=DECAY, gamma=gamma, noise=lambda t: [torch.ones_like(x) for x in t])
    for _ in range(3):
        before = theta.detach().clone()
        sampler.step(lambda: 0.5 * ((theta - MEAN) ** 2).sum())
        v = sampler.state[theta]["V"].sqrt() + LAMBDA
        std = (2 * 0.005 / N / v).sqrt()
        drift = 0.005 * (before - MEAN + DECAY * before) / v
        gamma_moved = theta.detach() - before + drift - std
        assert (gamma_moved.abs() <= std * (1 + 1e-9)).all()
    assert (gamma_moved.abs() > 0).any()


def test_it_resumes_and_copies_in_the_middle_of_the_adaptation() -> None:
    def chain(p: torch.nn.Parameter, sampler: PSGLD, gradients: Tensor) -> Tensor:
        for g in gradients:
            p.grad = g.clone()
            sampler.step()
        return p.detach().clone()

    def fresh() -> tuple[torch.nn.Parameter, PSGLD]:
        p = torch.nn.Parameter(torch.ones(3))
        return p, PSGLD([p], 1e-3, N, v_adapt=12, noise=lambda t: [torch.full_like(x, 0.5) for x in t])

    gradients = torch.randn(20, 3)
    whole = chain(*fresh(), gradients)
    for cut in (3, 8, 12, 15):
        p, sampler = fresh()
        chain(p, sampler, gradients[:cut])
        saved, values = copy.deepcopy(sampler.state_dict()), p.detach().clone()
        q, again = fresh()
        again.load_state_dict(saved)
        with torch.no_grad():
            q.copy_(values)
        assert torch.equal(chain(q, again, gradients[cut:]), whole)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"v_adapt": 1}, "v_adapt must be at least 2"),
        ({"v_adapt": 100, "gamma": "exact"}, "a V that is held has Γ = 0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PSGLD([torch.nn.Parameter(torch.ones(1))], LR, N, **options)


def test_what_keeps_the_chain_from_the_posterior_is_said() -> None:
    p = torch.nn.Parameter(torch.ones(1))
    assert PSGLD([p], LR, N, weight_decay=DECAY, v_adapt=100).caveat is None
    assert PSGLD([p], LR, N, temperature=0.0).caveat is None
    assert PSGLD([p], LR, N, alpha=1.0, v_start="first_square").caveat is None
    assert "v_adapt=burn_in" in PSGLD([p], LR, N).caveat
    assert "diverges" in PSGLD([p], 0.1, N, weight_decay=DECAY, v_adapt=100).caveat  # 0.1 · 0.01 / 1e-5 = 100


def test_it_declares_no_preconditioner_while_v_follows_theta() -> None:
    theta = torch.nn.Parameter(torch.ones(3))
    moving = PSGLD([theta], 0.01, 100, v_adapt=2)
    assert moving.preconditioner(theta) is None
    for _ in range(2):
        theta.grad = torch.ones(3)
        assert moving.preconditioner(theta) is None
        moving.step()
    assert torch.allclose(moving.preconditioner(theta), torch.full((3,), 1 / (1 + 1e-5)))
    always = PSGLD([theta], 0.01, 100)
    always.step()
    assert always.preconditioner(theta) is None
