"""Stochastic gradient Langevin dynamics (Welling & Teh, ICML 2011)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from bnnbench.samplers._langevin import NoiseSource, check_common, standard_normal, with_gradients
from bnnbench.samplers._one_pass import one_pass, prepare


class SGLD(Optimizer):
    """Stochastic gradient Langevin dynamics (Welling & Teh 2011, equation 4).

    The diffusion dθ = −∇U dt + √(2T) dW with U = N Ū, in steps of dt = η/N:

        θ ← θ − η ∇Ū + √(2 η T / N) ξ,    ξ ~ N(0, I)

    In the paper's notation ε = 2η/N: drift (ε/2) ∇log p(θ | D), noise variance ε (at T = 1). With T = 0 this is
    ``torch.optim.SGD`` to the bit. Ū is the potential PER DATUM: the mean negative log-likelihood plus −log p(θ)/N,
    so the same `lr` is the same drift as for SGD.

    Args:
        params: parameters or parameter groups; every hyper-parameter below may differ between groups.
        lr: step size η > 0, per unit of ∇Ū.
        num_data: N, the number of training data.
        temperature: T ≥ 0; 1 samples the posterior, 0 is SGD. The released pSGLD code corresponds to T = 1/N.
        weight_decay: the Gaussian prior N(0, s²) as 1/(N s²); its gradient `weight_decay`·θ joins ∇Ū. Leave it at 0
            when the loss already holds the prior.
        noise: ``tensors → list of standard normals of their shapes``; torch's global generator by default.
    """

    injects_noise = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        num_data: int,
        temperature: float = 1.0,
        weight_decay: float = 0.0,
        noise: NoiseSource | None = None,
    ) -> None:
        check_common(lr, num_data, temperature, weight_decay)
        self.noise = noise or standard_normal
        super().__init__(
            params, {"lr": lr, "num_data": num_data, "temperature": temperature, "weight_decay": weight_decay}
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a copy: torch's own leaves attributes of a subclass out."""
        return {**super().__getstate__(), "noise": self.noise}

    def preconditioner(self, parameter: Tensor) -> Tensor:
        """Return G = 1, of the shape of `parameter`."""
        return torch.ones_like(parameter)

    def prepare(self) -> None:
        """Compile what steps need, where they are made in one pass: see `bnnbench.kernels`."""
        prepare(self.noise, "sgld")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step from the gradients of Ū in ``p.grad``; `closure`, if given, computes them first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params, grads = with_gradients(group)
            if not params:
                continue
            lr, temperature = group["lr"], group["temperature"]
            std = math.sqrt(2 * lr * temperature / group["num_data"])
            if temperature and (one := one_pass(self.noise, params, grads)):
                one.make("sgld", lr, group["weight_decay"], std)
                continue
            if group["weight_decay"]:
                grads = torch._foreach_add(grads, params, alpha=group["weight_decay"])
            torch._foreach_add_(params, grads, alpha=-lr)
            if temperature:
                torch._foreach_add_(params, self.noise(params), alpha=std)
        return loss
