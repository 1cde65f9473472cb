"""Variational dropout: Gaussian dropout with a learned rate (Kingma, Salimans & Welling, NIPS 2015)."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn

from bnnbench.layers import joint_kl
from bnnbench.layers import kl as forms
from bnnbench.layers.base import StochasticLayer, check_choice, check_positive
from bnnbench.layers.fused import alpha as alpha_ops
from bnnbench.layers.fused.alpha import at_most
from bnnbench.layers.fused.normal import normal
from bnnbench.layers.fused.ops import fused
from bnnbench.layers.fused.vd_linear import vd_linear
from bnnbench.layers.noise import standard_normal

KL = ("cubic", "bound", "sigmoid", "none")


class VariationalDropout(StochasticLayer):
    """q(w) = N(θ, αθ²) under the log-uniform prior p(|w|) ∝ 1/|w|, with α learned as log α.

    Type A, noise on the inputs (their section 3.2): w_ji = s_i θ_ji, s_i ~ N(1, α_i) shared by the weights of an
        input unit; y = W (x ⊙ s) + b. Learned Gaussian dropout of type A. On images a channel is a unit: all
        positions share its s, which belongs to the weight.
    Type B, noise on the pre-activations (section 3.1): independent weights, drawn locally,
        y_j ~ N(γ_j, δ_j), γ_j = Σ_i θ_ji x_i + b_j, δ_j = Σ_i α_ji θ_ji² x_i². For a convolution the positions are
        drawn independently: right position by position, not jointly.

    The KL is a function of α alone, summed over the weights (B) or over the scales s_i (A). A small network underfits
    with A; the paper's A2 divides its KL by 3, as a factor in the objective.

    Args:
        layer: nn.Linear or nn.Conv2d, whose weights become θ.
        kind: ``A`` or ``B``.
        per: unit of an α: one per ``layer``, per input ``unit`` (feature, channel) or, with type B, per ``weight``.
        alpha: initial α > 0; (1 − p)/p for a retain probability p.
        kl: ``cubic``, the paper's fit; ``bound``, ½ log α; ``sigmoid``, the fit of Molchanov et al. 2017;
            ``none``, no prior: learned Gaussian dropout. See `bnnbench.layers.kl`.
        max_alpha: upper limit of α. Default: 1 for ``cubic`` (no more is allowed) and ``bound``, which are valid for
            α ≤ 1, and none otherwise. At the limit a gradient acts only if its descent step lowers α.
        sample: None follows the mode; True draws in evaluation as well; False never draws.

    Raises:
        ValueError: an argument out of range; an α per weight with noise on the inputs; cubic KL with α above 1.
    """

    compiles = True
    kl_covers = ("weight", "log_alpha")

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        kind: Literal["A", "B"] = "B",
        per: Literal["layer", "unit", "weight"] = "unit",
        alpha: float = 0.5,
        kl: Literal["cubic", "bound", "sigmoid", "none"] = "cubic",
        max_alpha: float | None = None,
        sample: bool | None = None,
    ) -> None:
        super().__init__(layer, sample)
        check_choice("kind", kind, ("A", "B"))
        check_choice("per", per, ("layer", "unit", "weight"))
        check_choice("kl", kl, KL)
        if kind == "A" and per == "weight":
            raise ValueError("per=weight needs kind=B: noise on the inputs has one α per unit, per=unit, or per layer")
        if max_alpha is None:
            max_alpha = 1.0 if kl in ("cubic", "bound") else math.inf
        if not max_alpha > 0:
            raise ValueError(f"max_alpha must be > 0, got {max_alpha}")
        if kl == "cubic" and max_alpha > 1:
            raise ValueError(f"kl=cubic holds for α ≤ 1 only, got max_alpha={max_alpha}; take kl=sigmoid for larger α")
        check_positive("alpha", alpha)
        if alpha > max_alpha:
            raise ValueError(f"alpha must be in (0, {max_alpha:g}] with kl={kl}, got {alpha}")
        self.kind, self.per, self.kl_form, self.max_alpha = kind, per, kl, max_alpha
        shape = {"layer": (), "unit": (self.in_units,), "weight": self.weight.shape}[per]
        self.log_alpha = nn.Parameter(self.weight.new_full(shape, math.log(alpha)))

    @property
    def limit(self) -> float:
        """Upper limit of log α, which may be infinite."""
        return math.log(self.max_alpha)

    def current_log_alpha(self) -> Tensor:
        """Return log α, at most its limit; shape [], [in_units] or that of the weight."""
        return at_most(self.log_alpha, self.limit)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return γ and δ, mean and variance of the pre-activations with type B, in the shape of the output."""
        if self.per == "weight":
            variance = fused(alpha_ops.variance(self.limit), self.weight, self.log_alpha)
        else:  # α multiplies θ², not x²: for a first layer its gradient then needs no third matrix product
            alpha = fused(alpha_ops.alpha(self.limit), self.log_alpha)
            variance = fused(alpha_ops.SCALED_SQUARE, self.weight, self._of_weights(alpha))
        return self.mean(x), self.affine(x.square(), variance, None)

    def _of_weights(self, values: Tensor) -> Tensor:
        """Return `values`, [in_units] or [], expanded to the shape of the weight."""
        if not self.is_conv or not values.dim():
            return values.expand_as(self.weight)
        outputs, inputs, *kernel = self.weight.shape  # of a group
        grouped = values.view(self.groups, 1, inputs, 1, 1).expand(-1, outputs // self.groups, -1, *kernel)
        return grouped.reshape(self.weight.shape)

    def draw(self, x: Tensor) -> Tensor:
        """Return pre-activations with fresh noise; within `joint_kl` the KL may be computed along with them."""
        if self.kind == "B":
            step = (
                None if self.is_conv else vd_linear(x, self.weight, self.log_alpha, self.bias, self.limit, self.kl_form)
            )
            if step is None:
                return normal(*self.moments(x))
            if self.kl_form != "none":
                joint_kl.store(self, step[1], self.weight, self.log_alpha)
            return step[0]
        std = self.per_unit((0.5 * self.current_log_alpha()).exp())
        noise = standard_normal(x[..., :1, :1] if self.is_conv else x)
        return self.affine(x * (1 + std * noise), self.weight, self.bias)

    def kl(self) -> Tensor:
        """Return KL(q ‖ prior) in nats, summed over weights or scales: a scalar; zero for ``none``."""
        if self.kl_form == "none":
            return self.weight.new_zeros(())
        joint = joint_kl.take(self, self.weight, self.log_alpha)
        if joint is not None:
            return joint
        if self.kl_form == "cubic":
            divergence = fused(alpha_ops.cubic_kl(self.limit), self.log_alpha)
        elif self.kl_form == "bound":
            divergence = forms.bound(self.current_log_alpha()).sum()
        else:
            divergence = fused(alpha_ops.SIGMOID_KL, self.current_log_alpha()).sum()
        count = self.in_units if self.kind == "A" else self.weight.numel()
        return divergence * (count / self.log_alpha.numel())

    def extra_repr(self) -> str:
        """Return the sizes, the type of noise, the unit of an α and the form of the KL."""
        return f"{super().extra_repr()}, kind={self.kind}, per={self.per}, kl={self.kl_form}"
