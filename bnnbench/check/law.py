"""Stationary moments of the discrete Langevin chain on a quadratic potential, from the update as printed.

    θ' − m = A (θ − m) − Λ e + √(2 T Λ/N) ξ,    A = I − Λ J,  Λ = η G

With G constant and e of mean 0 and independent from step to step, the covariance Σ solves

    Λ J Σ + Σ J Λ − Λ J Σ J Λ = Λ C Λ + (2T/N) Λ

(Wang, Ding & Huggins 2026, with injected noise), where C may be an affine function of Σ: the noise of minibatches whose
spread depends on θ. Nothing of a sampler's code enters but G.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bnnbench.check.gradient_noise.base import BATCH, GradientNoise
from bnnbench.check.target import DOUBLE, Target


def covariance(target: Target, noise: GradientNoise, g: Tensor, lr: float, temperature: float) -> Tensor:
    """Return Σ of each chain, [K, d, d].

    Args:
        target: with a linear gradient.
        noise: of the gradient.
        g: diagonal of G of each chain, [K, d].
        lr: η.
        temperature: T.
    """
    size = g.shape[1]
    step = lr * g.to(DOUBLE)
    contract = torch.eye(size, dtype=DOUBLE) - step[:, :, None] * target.hessian  # A
    injected = torch.diag_embed(2 * temperature / target.num_data * step)
    if noise.reshuffled:
        return _reshuffled(target, step, contract, injected)

    def after(second: Tensor) -> Tensor:
        """Return the covariance a step later."""
        later = contract @ second @ contract.mT + injected
        return later + (step[:, :, None] * _noise(target, noise, second) * step[:, None] if noise.noisy else 0.0)

    return _fixed_point(after, len(g), size)


def _noise(target: Target, noise: GradientNoise, second: Tensor) -> Tensor:
    """Return C at the stationary covariance `second`; that of added noise does not depend on θ."""
    at = second if noise.excess is None else torch.zeros_like(second)
    return target.gradient_covariance(at) / BATCH


def _fixed_point(after: Callable[[Tensor], Tensor], chains: int, size: int) -> Tensor:
    """Return Σ = after(Σ) of an affine map of symmetric matrices, [K, d, d]: its matrix is read off unit matrices."""
    constant = after(torch.zeros(chains, size, size, dtype=DOUBLE))
    columns = []
    for number in range(size * size):
        unit = torch.zeros(size * size, dtype=DOUBLE)
        unit[number] = 1
        image = after(unit.view(size, size).expand(chains, size, size)) - constant
        columns.append(image.reshape(chains, -1))
    matrix = torch.eye(size * size, dtype=DOUBLE) - torch.stack(columns, 2)
    return torch.linalg.solve(matrix, constant.reshape(chains, -1, 1)).view(chains, size, size)


def _reshuffled(target: Target, step: Tensor, contract: Tensor, injected: Tensor) -> Tensor:
    """Return Σ averaged over the steps of an epoch, whose M = N/B batches share no datum.

    Their means have the covariance C₁ = C (N − B)/(N − 1), and C₁₂ = −C B/(N − 1) among each other, C = Cov_n ∇ℓ_n/B.
    By exchangeability the covariance X of θ with any batch yet to come is the same:

        P' = A P Aᵀ + Λ C₁ Λ − A X Λ − Λ Xᵀ Aᵀ + (2T/N) Λ,    X' = A X − Λ C₁₂,    X = 0 at the start of an epoch
    """
    n, steps = target.num_data, target.num_data // BATCH
    noise = target.gradient_covariance(torch.zeros_like(contract)) / BATCH
    own, other = noise * (n - BATCH) / (n - 1), -noise * BATCH / (n - 1)
    left, right = step[:, :, None], step[:, None]

    def epoch(start: Tensor) -> list[Tensor]:
        found, p, x = [], start, torch.zeros_like(start)
        for _ in range(steps):
            shared = contract @ x * right
            p = contract @ p @ contract.mT + left * own * right - shared - shared.mT + injected
            x = contract @ x - left * other
            found.append(p)
        return found

    stationary = _fixed_point(lambda second: epoch(second)[-1], *step.shape)
    return torch.stack(epoch(stationary)).mean(0)


def fourth_moment(target: Target, noise: GradientNoise, second: Tensor, g: Tensor, lr: float) -> Tensor | None:
    """Return E u_i⁴ of each chain, [K, d]; None where the cumulants of directions do not come apart.

    In a direction of its own, κ₄ = (Λ s)⁴ κ₄(z) / (1 − A⁴): injected noise has none.

    Args:
        target, noise, g, lr: see `covariance`.
        second: E u_i² of each chain, [K, d].
    """
    diagonal = all(
        bool((m - torch.diag(m.diagonal())).abs().max() < 1e-12) for m in (target.hessian, target.directions)
    )
    if noise.excess is None or not diagonal:
        return None
    hessian = target.hessian.diagonal()
    step = lr * g.to(DOUBLE)
    spread = target.gradient_covariance(torch.zeros_like(target.hessian)).diagonal() / BATCH
    cumulant = step**4 * spread.square() * noise.excess / (1 - (1 - step * hessian) ** 4)
    return 3 * second.square() + cumulant * target.directions.diagonal() ** 4
