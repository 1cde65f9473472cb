"""Preconditioned stochastic gradient Langevin dynamics (Li, Chen, Carlson & Carin, AAAI 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor
from torch.optim import Optimizer

from bnnbench.samplers._curvature import check_exact, hessian_diagonal
from bnnbench.samplers._langevin import NoiseSource, Tensors, check_common, standard_normal, with_gradients
from bnnbench.samplers._one_pass import one_pass, prepare


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

    As printed, V never stops following θ, and the chain does not sample the posterior: while θ moves little within the
    1/(1 − α) steps that V remembers, all of V is a function of the present θ, the density is multiplied by λ + |ḡ|, and
    smaller steps make it worse, with Γ and without: variance/true is 1.13 at η = .02 and 1.6 at η = .0002 on a normal
    with N = 100 and α = .99. Gradient noise that dominates ḡ hides most of it. With `v_adapt` V is adaptation alone:
        t ≤ W = min(⌈1/(1 − α)⌉, ⌊v_adapt/2⌋)   V/(1 − αᵗ) in place of V, and no noise: a cold V would amplify it
        W < t ≤ v_adapt                          with noise
        t > v_adapt                              V is the mean of ḡ ⊙ ḡ over the second half of the adaptation, for good
    From there on G is constant, Γ = 0, and the error is that of the step alone: of order ηGH/2 of the variance, with H
    the Hessian of Ū.

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
        v_adapt: steps after which V is held: at least 2, better two epochs; or ``always``, as printed. With α = 1 V is
            held anyway.
        gamma: Γ of a V that moves always. ``none`` drops it, as all released code does. ``exact`` and ``hutchinson``
            compute it; `step` then needs a closure. While V is cold Γ ∝ H/ḡ² knows no bound but 1/λ²: its displacement
            is clamped, elementwise, to the standard deviation of the step's noise, |ηTΓ/N| ≤ √(2ηTG/N).
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
        v_adapt: Annotated[int, Ge(2)] | Literal["always"] = "always",
        gamma: Literal["none", "exact", "hutchinson"] = "none",
        noise: NoiseSource | None = None,
    ) -> None:
        check_common(lr, num_data, temperature, weight_decay)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
        if not lambda_ > 0:
            raise ValueError(f"lambda_ (λ) must be > 0, got {lambda_}")
        if not 1e-37 < lambda_ < 1e37:  # 1/λ bounds G
            raise ValueError(
                f"lambda_ (λ) must lie between 1e-37 and 1e37, which single precision holds, got {lambda_}"
            )
        for name, value, allowed in (
            ("v_gradient", v_gradient, ("likelihood", "posterior")),
            ("v_start", v_start, ("zero", "first_square")),
            ("gamma", gamma, ("none", "exact", "hutchinson")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
        if alpha == 1 and v_start == "zero":
            raise ValueError("alpha=1 keeps V at its start, and zero is no preconditioner: use v_start=first_square")
        if v_adapt != "always" and v_adapt < 2:
            raise ValueError(f"v_adapt must be at least 2 steps, or always; got {v_adapt}")
        if temperature and gamma != "none" and v_adapt != "always":
            raise ValueError(f"gamma={gamma}: a V that is held has Γ = 0. Take v_adapt=always, or gamma=none")
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
            "v_adapt": v_adapt,
        }
        super().__init__(params, defaults)

        if gamma == "exact":
            check_exact(sum(p.numel() for group in self.param_groups for p in group["params"]))

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a copy: torch's own leaves attributes of a subclass out."""
        return {**super().__getstate__(), "noise": self.noise, "gamma": self.gamma}

    @property
    def caveat(self) -> str | None:
        """What keeps the chain from the posterior, whatever the gradients are; None if nothing does."""
        hot = [group for group in self.param_groups if group["temperature"]]
        found = []
        if any(group["v_adapt"] == "always" and group["alpha"] < 1 for group in hot):
            found.append("V follows θ always: a bias that smaller steps do not remove; v_adapt=burn_in holds V")
        # Where ḡ is always 0, G is 1/λ: the prior alone moves θ, in steps of ηG/(N s²).
        steps = [g["lr"] * g["weight_decay"] / g["lambda_"] for g in hot if g["v_gradient"] == "likelihood"]
        if max(steps, default=0) >= 2:
            found.append(
                f"lr · weight_decay / lambda_ = {max(steps):.3g} is not below 2: a parameter whose gradient is always "
                "0, as of an input that is, diverges; take a larger lambda_ or a smaller lr"
            )
        return "; ".join(found) or None

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

    @property
    def per_element(self) -> bool:
        """Whether all but one of `backward_passes` are one per element: those of K chains are counted together."""
        return self.needs_closure and self.gamma == "exact"

    def preconditioner(self, parameter: Tensor) -> Tensor | None:
        """Return G = 1/(λ + √V) of a V that is held, of the shape of `parameter`; None while V follows θ."""
        for group in self.param_groups:
            if any(p is parameter for p in group["params"]) and parameter in self.state:
                adapted = group["v_adapt"] != "always" and group.get("steps", 0) >= group["v_adapt"]
                if adapted or group["alpha"] == 1:
                    return 1 / (group["lambda_"] + self.state[parameter]["V"].sqrt())
        return None

    def prepare(self) -> None:
        """Compile what steps need, where they are made in one pass: see `bnnbench.kernels`."""
        prepare(self.noise, "psgld", "psgld_held")

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
                if self.gamma != "none":  # a closure for Γ leaves the differentiation to the step, at T = 0 too
                    self._differentiate(loss, create_graph=False)
        for group in self.param_groups:
            params, grads = with_gradients(group)
            if params:
                self._step_group(group, params, grads, curvature)
        return loss

    def _step_group(
        self, group: dict[str, Any], params: list[Tensor], grads: Tensors, curvature: dict[Tensor, Tensor]
    ) -> None:
        lr, alpha, decay = group["lr"], group["alpha"], group["weight_decay"]
        temperature, step = group["temperature"], 0
        if group["v_adapt"] != "always" and alpha < 1:
            group["steps"] = step = group.get("steps", 0) + 1
            if step <= min(math.ceil(1 / (1 - alpha)), group["v_adapt"] // 2):
                temperature = 0.0
        if temperature and not curvature and self._in_one_pass(group, params, grads, step):
            return
        drift = torch._foreach_add(grads, params, alpha=decay) if decay else grads  # ∇Ū
        g_bar = drift if group["v_gradient"] == "posterior" else grads
        first = all(p not in self.state for p in params)
        for p, g in zip(params, g_bar, strict=True):
            if p not in self.state:
                start = g.square() if group["v_start"] == "first_square" else torch.zeros_like(p)
                self.state[p]["V"] = start
        v = [self.state[p]["V"] for p in params]
        if not step:
            torch._foreach_mul_(v, alpha)
            torch._foreach_addcmul_(v, g_bar, g_bar, value=1 - alpha)  # leaves a first square as it is
            inverse_g: Tensors = torch._foreach_sqrt(v)
        else:
            inverse_g = self._adapt(group, params, g_bar, step)
        torch._foreach_add_(inverse_g, group["lambda_"])  # 1/G = λ + √V
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

    def _in_one_pass(self, group: dict[str, Any], params: list[Tensor], grads: Tensors, step: int) -> bool:
        """Make the step by a compiled loop; return whether there is one for it. `step` counts adaptation, 0 if none."""
        lr, alpha, decay = group["lr"], group["alpha"], group["weight_decay"]
        averages = group["v_adapt"] // 2 < step <= group["v_adapt"] if step else False
        if averages or any(p not in self.state for p in params):
            return False
        one = one_pass(self.noise, params, grads, [self.state[p]["V"] for p in params])
        if one is None:
            return False
        std = math.sqrt(2 * lr * group["temperature"] / group["num_data"])
        if alpha == 1 or (step and step > group["v_adapt"]):
            one.make("psgld_held", lr, decay, group["lambda_"], std)
        else:
            cold = step and group["v_start"] == "zero"
            in_v = decay if group["v_gradient"] == "posterior" else 0.0
            correction = 1 / math.sqrt(1 - alpha**step) if cold else 1.0
            one.make("psgld", lr, decay, in_v, alpha, 1 - alpha, correction, group["lambda_"], std)
        return True

    def _adapt(self, group: dict[str, Any], params: list[Tensor], g_bar: Tensors, step: int) -> Tensors:
        """Let V learn from the gradients of a `step` up to ``v_adapt``; return its root, [√V]."""
        alpha, last, half = group["alpha"], group["v_adapt"], group["v_adapt"] // 2
        v = [self.state[p]["V"] for p in params]
        if step > last:
            return torch._foreach_sqrt(v)
        torch._foreach_mul_(v, alpha)
        torch._foreach_addcmul_(v, g_bar, g_bar, value=1 - alpha)
        root = torch._foreach_sqrt(v)
        if group["v_start"] == "zero":
            torch._foreach_div_(root, math.sqrt(1 - alpha**step))
        if step > half:
            means = [self.state[p].setdefault("V_mean", torch.zeros_like(p)) for p in params]
            torch._foreach_lerp_(means, torch._foreach_mul(g_bar, g_bar), 1 / (step - half))
        if step == last:
            for p in params:
                self.state[p]["V"] = self.state[p].pop("V_mean")
        return root

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
        """Return Γ_i = −`share` G_i² ḡ_i H_ii / √V_i, |Γ_i| ≤ √(2 N G_i / (η T)); 0 where V_i = 0, as ḡ_i is there."""
        prior = group["weight_decay"] if group["v_gradient"] == "posterior" else 0.0
        noise = 2 * group["num_data"] / (group["lr"] * group["temperature"])
        found = []
        for p, g, s, d in zip(params, g_bar, v, inverse_g, strict=True):
            gamma = torch.where(s > 0, -share * g * (curvature[p] + prior) / (s.sqrt() * d.square()), 0.0)
            limit = (noise / d).sqrt()
            found.append(torch.clamp(gamma, -limit, limit))
        return found

    def _differentiate_twice(self, closure: Callable[[], Tensor] | None) -> tuple[Tensor, dict[Tensor, Tensor]]:
        if closure is None:
            raise ValueError(
                f"gamma={self.gamma!r} needs step(closure), the closure returning the loss without backward"
            )
        with torch.enable_grad():
            loss = closure()
            used = self._differentiate(loss, create_graph=True)
            diagonal = hessian_diagonal([g for _, g in used], [p for p, _ in used], self.gamma, self.noise)
        return loss.detach(), {p: h.detach() for (p, _), h in zip(used, diagonal, strict=True)}

    def _differentiate(self, loss: Tensor, create_graph: bool) -> list[tuple[Tensor, Tensor]]:
        """Put the gradients of `loss` into ``p.grad``; return the parameters it depends on, with their gradients."""
        params = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        try:
            grads = torch.autograd.grad(loss, params, create_graph=create_graph, allow_unused=True)
        except RuntimeError as error:
            raise RuntimeError(
                "the closure must return the loss with its graph and not call backward() itself"
            ) from error
        for p, g in zip(params, grads, strict=True):
            p.grad = None if g is None else g.detach()
        return [(p, g) for p, g in zip(params, grads, strict=True) if g is not None]
