"""Stochastic gradient Hamiltonian Monte Carlo (Chen, Fox & Guestrin, ICML 2014)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from annotated_types import Gt, Le
from torch import Tensor
from torch.optim import Optimizer

from bnnbench.samplers._langevin import NoiseSource, check_common, standard_normal


class SGHMC(Optimizer):
    """SGHMC in the form of SGD with momentum (Chen et al. 2014, equation 15, with β̂ = 0).

        v ← (1 − a) v − η ∇Ū + √(2 a η T / N) ξ,    ξ ~ N(0, I)
        θ ← θ + v

    In the paper's notation η' = η/N. With T = 0 it is SGD with momentum 1 − a.

    Args:
        params: parameters or parameter groups.
        lr: step size η > 0.
        num_data: N.
        temperature: T ≥ 0.
        friction: a in (0, 1].
        weight_decay: 1/(N s²).
        noise: source of standard normals.
    """

    injects_noise = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        num_data: int,
        temperature: float = 1.0,
        friction: Annotated[float, Gt(0), Le(1)] = 0.1,
        weight_decay: float = 0.0,
        noise: NoiseSource | None = None,
    ) -> None:
        check_common(lr, num_data, temperature, weight_decay)
        self.noise = noise or standard_normal
        defaults = {"lr": lr, "num_data": num_data, "temperature": temperature}
        super().__init__(params, {**defaults, "friction": friction, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """Make one step from the gradients in ``p.grad``."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            lr, a, temperature = group["lr"], group["friction"], group["temperature"]
            noise = self.noise(params) if temperature else []
            for index, p in enumerate(params):
                v = self.state[p].setdefault("v", torch.zeros_like(p))
                v.mul_(1 - a).sub_(p.grad + group["weight_decay"] * p, alpha=lr)
                if temperature:
                    v.add_(noise[index], alpha=math.sqrt(2 * a * lr * temperature / group["num_data"]))
                p.add_(v)
