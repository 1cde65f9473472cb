"""Variational dropout: Gaussian dropout whose rate is learned (Kingma, Salimans & Welling, NIPS 2015)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bnnbench.layers import kl as forms
from bnnbench.layers._affine import Affine, check_choice, check_positive, normal

KL = {"cubic": forms.cubic, "bound": forms.bound, "sigmoid": forms.sigmoid, "none": None}


class VariationalDropout(Affine):
    """q(w) = N(θ, αθ²) under the log-uniform prior p(|w|) ∝ 1/|w|, with α learned as log α.

    Type A, noise on the inputs (their section 3.2): w_ji = s_i θ_ji, s_i ~ N(1, α_i) shared by the weights of an
        input unit; y = W (x ⊙ s) + b. Learned Gaussian dropout of type A. On images a channel is a unit: its
        s is shared by all positions, as it belongs to the weight.
    Type B, noise on the pre-activations (section 3.1): independent weights, drawn locally,
        y_j ~ N(γ_j, δ_j), γ_j = Σ_i θ_ji x_i + b_j, δ_j = Σ_i α_ji θ_ji² x_i². For a convolution the positions are
        drawn independently: right position by position, not jointly.

    The KL is a function of α alone, summed over the weights (B) or over the scales s_i (A). A small network underfits
    with A; the paper's A2 divides its KL by 3, a factor of the objective.

    Args:
        layer: nn.Linear or nn.Conv2d, whose weights become θ.
        noise: ``A`` or ``B``.
        per: what has an α of its own: the ``layer``, each input ``unit`` (feature, channel) or, with type B, each
            ``weight``.
        alpha: initial α > 0; (1 − p)/p for a retain probability p.
        kl: ``cubic``, the paper's fit; ``bound``, ½ log α; ``sigmoid``, the fit of Molchanov et al. 2017;
            ``none``, no prior: learned Gaussian dropout. See `bnnbench.layers.kl`.
        max_alpha: upper limit of α. Default: 1 for ``cubic`` (never more) and ``bound``, which hold up to there, and
            none otherwise. At the limit a gradient acts only if a descent step would lower α.
        sample: None follows the mode; True draws in evaluation as well; False never draws.

    Raises:
        ValueError: an argument out of range; an α per weight with noise on the inputs; cubic KL with α above 1.
    """

    kl_covers = ("weight", "log_alpha")

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        noise: Literal["A", "B"] = "B",
        per: Literal["layer", "unit", "weight"] = "unit",
        alpha: float = 0.5,
        kl: Literal["cubic", "bound", "sigmoid", "none"] = "cubic",
        max_alpha: float | None = None,
        sample: bool | None = None,
    ) -> None:
        super().__init__(layer, sample)
        check_choice("noise", noise, ("A", "B"))
        check_choice("per", per, ("layer", "unit", "weight"))
        check_choice("kl", kl, tuple(KL))
        if noise == "A" and per == "weight":
            raise ValueError("per=weight needs noise=B: noise on the inputs has one α per unit, per=unit, or per layer")
        if max_alpha is None:
            max_alpha = 1.0 if kl in ("cubic", "bound") else math.inf
        if not max_alpha > 0:
            raise ValueError(f"max_alpha must be > 0, got {max_alpha}")
        if kl == "cubic" and max_alpha > 1:
            raise ValueError(f"kl=cubic holds for α ≤ 1 only, got max_alpha={max_alpha}; take kl=sigmoid for larger α")
        check_positive("alpha", alpha)
        if alpha > max_alpha:
            raise ValueError(f"alpha must be in (0, {max_alpha:g}] with kl={kl}, got {alpha}")
        self.noise, self.per, self.kl_form, self.max_alpha = noise, per, kl, max_alpha
        shape = {"layer": (), "unit": (self.units,), "weight": self.weight.shape}[per]
        self.log_alpha = nn.Parameter(self.weight.new_full(shape, math.log(alpha)))

    def current_log_alpha(self) -> Tensor:
        """Return log α, held at or below its limit; shape [], [units] or that of the weight."""
        if math.isinf(self.max_alpha):
            return self.log_alpha
        return _AtMost.apply(self.log_alpha, math.log(self.max_alpha))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return γ and δ, mean and variance of the pre-activations with type B, in the shape of the output."""
        alpha, x2, theta2 = self.current_log_alpha().exp(), x.square(), self.weight.square()
        if self.per == "weight":
            return self.mean(x), self.affine(x2, alpha * theta2, None)
        return self.mean(x), self.affine(self.per_unit(alpha) * x2, theta2, None)

    def draw(self, x: Tensor) -> Tensor:
        """Return pre-activations with fresh noise."""
        if self.noise == "B":
            return normal(*self.moments(x))
        std = self.per_unit((0.5 * self.current_log_alpha()).exp())
        noise = torch.randn_like(x[..., :1, :1] if self.is_conv else x)
        return self.affine(x * (1 + std * noise), self.weight, self.bias)

    def kl(self) -> Tensor:
        """Return KL(q ‖ prior) in nats, summed; zero for ``none``."""
        form = KL[self.kl_form]
        if form is None:
            return self.weight.new_zeros(())
        count = self.units if self.noise == "A" else self.weight.numel()
        return form(self.current_log_alpha()).sum() * (count / self.log_alpha.numel())

    def extra_repr(self) -> str:
        """Return the sizes, the type of noise, what has an α and the KL."""
        return f"{super().extra_repr()}, noise={self.noise}, per={self.per}, kl={self.kl_form}"


class _AtMost(torch.autograd.Function):
    """min(x, limit) with the projected gradient: beyond the limit only that which leads a descent step back.

    A plain clamp has no gradient there, and an α that once stepped over its limit would stay for good.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, limit: float) -> Tensor:
        return x.clamp_max(limit)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        x, ctx.limit = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return torch.where((x < ctx.limit) | (grad > 0), grad, 0.0), None
