"""Preconditioned stochastic gradient Langevin dynamics (Li, Chen, Carlson & Carin, AAAI 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from bnnbench.samplers._curvature import check_exact, hessian_diagonal
from bnnbench.samplers._langevin import NoiseSource, Tensors, check_common, standard_normal, with_gradients


class PSGLD(Optimizer):
    """Preconditioned SGLD with RMSprop's diagonal (Li et al. 2016, algorithm 1).

    The diffusion dθ = (−G ∇U + T Γ) dt + √(2 T G) dW with U = N Ū, in steps of dt = η/N:

        V ← α V + (1 − α) ḡ ⊙ ḡ
        G = 1 / (λ + √V)                                  (elementwise; λ stands outside the root)
        θ ← θ − η [G ∇Ū − (T/N) Γ] + √(2 η T G / N) ξ,    ξ ~ N(0, I)

    ḡ is the minibatch MEAN gradient of the log-likelihood, Γ_i = ∂G_i/∂θ_i = −(1 − α) G_i² ḡ_i H_ii / √V_i with
    H_ii = ∂ḡ_i/∂θ_i (the dependence of V on the current θ; older gradients are constants; without the factor 1 − α at
    a first step whose V is ḡ ⊙ ḡ). In the paper's notation
    ε = 2η/N. With T = 0, ``v_gradient="posterior"`` and ``v_start="zero"`` this is ``torch.optim.RMSprop``.

    Args:
        params: parameters or parameter groups.
        lr: step size η > 0.
        num_data: N, the number of training data.
        temperature: T ≥ 0; 1 samples the posterior, 0 is RMSprop. The released code corresponds to T = 1/N.
        alpha: α in [0, 1], memory of V; 1 keeps V at its start (a fixed preconditioner).
        lambda_: λ > 0 bounds G by 1/λ: the step of a parameter whose gradient vanishes (an input that is always 0).
        weight_decay: the Gaussian prior N(0, s²) as 1/(N s²); its gradient joins the drift.
        v_gradient: ``likelihood``, V from the gradient in ``p.grad`` alone, as printed; ``posterior``, with
            `weight_decay`·θ added, as in the released code. (A prior inside the loss is always part of V.)
        v_start: ``zero`` as printed, or ``first_square``, the first ḡ ⊙ ḡ, as in the released code.
        gamma: Γ. ``none`` drops it, as all released code does: a bias of order (1 − α)²/α³ (paper, section 4).
            ``exact`` and ``hutchinson`` compute it; `step` then needs a closure.
        noise: ``tensors → list of standard normals of their shapes``; torch's global generator by default.
    """

    injects_noise = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        num_data: int,
        temperature: float = 1.0,
        alpha: float = 0.99,
        lambda_: float = 1e-5,
        weight_decay: float = 0.0,
        v_gradient: Literal["likelihood", "posterior"] = "likelihood",
        v_start: Literal["zero", "first_square"] = "zero",
        gamma: Literal["none", "exact", "hutchinson"] = "none",
        noise: NoiseSource | None = None,
    ) -> None:
        check_common(lr, num_data, temperature, weight_decay)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
        if not lambda_ > 0:
            raise ValueError(f"lambda_ (λ) must be > 0, got {lambda_}")
        for name, value, allowed in (
            ("v_gradient", v_gradient, ("likelihood", "posterior")),
            ("v_start", v_start, ("zero", "first_square")),
            ("gamma", gamma, ("none", "exact", "hutchinson")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
        if alpha == 1 and v_start == "zero":
            raise ValueError("alpha=1 keeps V at its start, and zero is no preconditioner: use v_start=first_square")
        self.noise = noise or standard_normal
        self.gamma = gamma
        defaults = {
            "lr": lr,
            "num_data": num_data,
            "temperature": temperature,
            "alpha": alpha,
            "lambda_": lambda_,
            "weight_decay": weight_decay,
            "v_gradient": v_gradient,
            "v_start": v_start,
        }
        super().__init__(params, defaults)

        if gamma == "exact":
            check_exact(sum(p.numel() for group in self.param_groups for p in group["params"]))

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a copy: torch's own leaves attributes of a subclass out."""
        return {**super().__getstate__(), "noise": self.noise, "gamma": self.gamma}

    @property
    def needs_closure(self) -> bool:
        """Whether `step` must be given the loss as a closure: Γ takes second derivatives. T = 0 has no use for Γ."""
        return self.gamma != "none" and any(group["temperature"] for group in self.param_groups)

    @property
    def backward_passes(self) -> int:
        """Backward passes of one step: what a fair count of gradient evaluations adds up."""
        if not self.needs_closure:
            return 1
        size = sum(p.numel() for group in self.param_groups for p in group["params"])
        return 2 if self.gamma == "hutchinson" else 1 + size

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step.

        With ``gamma="none"`` the gradients are read from ``p.grad`` (a closure, if given, computes them first, torch's
        way). Otherwise `closure` returns the loss and does NOT call ``backward``: the step differentiates it twice.
        """
        loss = None
        curvature: dict[Tensor, Tensor] = {}
        if self.needs_closure:
            loss, curvature = self._differentiate_twice(closure)
        elif closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params, grads = with_gradients(group)
            if params:
                self._step_group(group, params, grads, curvature)
        return loss

    def _step_group(
        self, group: dict[str, Any], params: list[Tensor], grads: Tensors, curvature: dict[Tensor, Tensor]
    ) -> None:
        lr, alpha, decay = group["lr"], group["alpha"], group["weight_decay"]
        drift = torch._foreach_add(grads, params, alpha=decay) if decay else grads  # ∇Ū
        g_bar = drift if group["v_gradient"] == "posterior" else grads
        first = all(p not in self.state for p in params)
        for p, g in zip(params, g_bar, strict=True):
            if p not in self.state:
                start = g.square() if group["v_start"] == "first_square" else torch.zeros_like(p)
                self.state[p]["V"] = start
        v = [self.state[p]["V"] for p in params]
        torch._foreach_mul_(v, alpha)
        torch._foreach_addcmul_(v, g_bar, g_bar, value=1 - alpha)  # leaves a first square as it is
        inverse_g = torch._foreach_sqrt(v)
        torch._foreach_add_(inverse_g, group["lambda_"])  # 1/G = λ + √V
        temperature = group["temperature"]
        gamma = None
        if curvature and temperature:
            share = 1.0 if first and group["v_start"] == "first_square" else 1 - alpha  # of ḡ ⊙ ḡ in V
            gamma = self._gamma(group, params, g_bar, v, inverse_g, curvature, share)
        torch._foreach_addcdiv_(params, drift, inverse_g, value=-lr)
        if gamma is not None:
            torch._foreach_add_(params, gamma, alpha=lr * temperature / group["num_data"])
        if temperature:
            std = math.sqrt(2 * lr * temperature / group["num_data"])
            torch._foreach_sqrt_(inverse_g)  # √(1/G)
            torch._foreach_addcdiv_(params, self.noise(params), inverse_g, value=std)

    def _gamma(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        g_bar: Tensors,
        v: list[Tensor],
        inverse_g: Tensors,
        curvature: dict[Tensor, Tensor],
        share: float,
    ) -> list[Tensor]:
        """Return Γ_i = −`share` G_i² ḡ_i H_ii / √V_i; 0 where V_i = 0, since then ḡ_i = 0 too."""
        prior = group["weight_decay"] if group["v_gradient"] == "posterior" else 0.0
        return [
            torch.where(s > 0, -share * g * (curvature[p] + prior) / (s.sqrt() * d.square()), 0.0)
            for p, g, s, d in zip(params, g_bar, v, inverse_g, strict=True)
        ]

    def _differentiate_twice(self, closure: Callable[[], Tensor] | None) -> tuple[Tensor, dict[Tensor, Tensor]]:
        if closure is None:
            raise ValueError(
                f"gamma={self.gamma!r} needs step(closure), the closure returning the loss without backward"
            )
        params = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        with torch.enable_grad():
            loss = closure()
            try:
                grads = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
            except RuntimeError as error:
                raise RuntimeError(
                    "the closure must return the loss with its graph and not call backward() itself"
                ) from error
            used = [(p, g) for p, g in zip(params, grads, strict=True) if g is not None]
            diagonal = hessian_diagonal([g for _, g in used], [p for p, _ in used], self.gamma, self.noise)
        for p, g in zip(params, grads, strict=True):
            p.grad = None if g is None else g.detach()
        return loss.detach(), {p: h.detach() for (p, _), h in zip(used, diagonal, strict=True)}
