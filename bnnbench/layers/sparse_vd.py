"""Sparse variational dropout (Molchanov, Ashukha & Vetrov, ICML 2017)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from bnnbench.layers import joint_kl
from bnnbench.layers.base import StochasticLayer, check_choice, log_ratio
from bnnbench.layers.fused import alpha, sparse
from bnnbench.layers.fused.normal import normal
from bnnbench.layers.fused.ops import fused
from bnnbench.layers.fused.sparse import LIMIT
from bnnbench.layers.fused.sparse_linear import ROOT, sparse_linear


class SparseVD(StochasticLayer):
    """q(w) = N(θ, αθ²) under the log-uniform prior, α per weight and unbounded: weights with log α > 3 are dropped.

        additive         parameters θ, log σ²;  log α = log σ² − log θ²;  w = θ + σ ε
        multiplicative   parameters θ, log α;                             w = θ (1 + √α ε)

    Both are the same posterior; additive is the paper's: ∂w/∂θ is 1 instead of 1 + √α ε, whose noise drowns the
    gradient of a weight about to be dropped. Pre-activations are drawn locally,

        y ~ N(γ, δ),  γ = θ * x + b,  δ = σ² * x² + 1e-8      (* is the matrix product or the convolution)

    so the positions of an image are independent. The bias is deterministic. KL: `bnnbench.layers.kl.sigmoid`, summed.
    As in the released code log α is clamped to [−8, 8], both in the variance (σ² in [e⁻⁸θ², e⁸θ²]) and in the KL, with
    no gradient to log α beyond.

    Evaluation uses θ with the dropped weights at exactly 0.

    Args:
        layer: nn.Linear or nn.Conv2d, whose weights become θ.
        parametrisation: ``additive`` or ``multiplicative``.
        init_log_sigma2: initial log σ²; −10 in the release. With ``multiplicative`` α starts at the same posterior.
        threshold: log α above which a weight is dropped, in [−8, 8]; also an attribute that can be set at any time.
            3 is α = 20, a dropout rate of 0.95.
        train_clip: dropped weights have mean 0 in training too, and keep their variance (the release's LeNets).
        sample: None follows the mode; True draws in evaluation as well; False never draws.

    Raises:
        ValueError: an argument out of range; `layer` of another kind.
    """

    compiles = True
    kl_covers = ("weight", "log_sigma2", "log_alpha")

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        parametrisation: Literal["additive", "multiplicative"] = "additive",
        init_log_sigma2: float = -10.0,
        threshold: float = 3.0,
        train_clip: bool = False,
        sample: bool | None = None,
    ) -> None:
        super().__init__(layer, sample)
        check_choice("parametrisation", parametrisation, ("additive", "multiplicative"))
        if not -LIMIT <= threshold <= LIMIT:
            raise ValueError(f"threshold (of log α) must be in [-8, 8], the range of log α, got {threshold}")
        if not math.isfinite(init_log_sigma2):
            raise ValueError(f"init_log_sigma2 must be finite, got {init_log_sigma2}")
        self.parametrisation, self.threshold, self.train_clip = parametrisation, threshold, train_clip
        start = torch.full_like(self.weight, init_log_sigma2, requires_grad=False)
        if parametrisation == "additive":
            self.log_sigma2 = nn.Parameter(start)
        else:
            with torch.no_grad():
                self.log_alpha = nn.Parameter(log_ratio(start, self.weight).clamp(-LIMIT, LIMIT))

    def current_log_alpha(self) -> Tensor:
        """Return log α in [−8, 8], in the shape of the weight."""
        if self.parametrisation == "additive":
            return sparse.log_alpha(self.weight, self.log_sigma2)
        return self.log_alpha.clamp(-LIMIT, LIMIT)

    def variance(self) -> Tensor:
        """Return σ² = αθ² of the weights, in their shape."""
        if self.parametrisation == "multiplicative":
            return fused(alpha.variance(math.inf), self.weight, self.current_log_alpha())
        return fused(sparse.VARIANCE, self.weight, self.log_sigma2)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return γ and δ, mean and variance of the pre-activations in training, in the shape of the output."""
        theta: Tensor = self.weight
        if self.train_clip:
            theta = theta * (self.current_log_alpha() - self.threshold <= sparse.TIE)
        return self.affine(x, theta, self.bias), self.affine(x.square(), self.variance(), None) + ROOT

    def draw(self, x: Tensor) -> Tensor:
        """Return pre-activations with fresh noise; within `joint_kl` the KL may be computed along with them."""
        if self.parametrisation == "additive" and not self.is_conv:
            threshold = self.threshold if self.train_clip else None
            step = sparse_linear(x, self.weight, self.log_sigma2, self.bias, threshold)
            if step is not None:
                joint_kl.store(self, step[1], self.weight, self.log_sigma2)
                return step[0]
        return normal(*self.moments(x), floor=ROOT)

    def mean(self, x: Tensor) -> Tensor:
        """Return the pre-activations of θ with the dropped weights at 0."""
        return self.affine(x, self.sparse_weight(), self.bias)

    def kept(self) -> Tensor:
        """Return the mask of the weights that are kept, log α ≤ threshold; boolean, in the shape of the weight."""
        return self.current_log_alpha() <= self.threshold

    def sparse_weight(self) -> Tensor:
        """Return θ with the dropped weights at exactly 0."""
        return self.weight * self.kept()

    def kl(self) -> Tensor:
        """Return KL(q ‖ prior) in nats, summed over the weights: a scalar."""
        if self.parametrisation == "multiplicative":
            return fused(alpha.SIGMOID_KL, self.current_log_alpha()).sum()
        joint = joint_kl.take(self, self.weight, self.log_sigma2)
        if joint is not None:
            return joint
        return fused(sparse.KL, self.weight, self.log_sigma2)

    def extra_repr(self) -> str:
        """Return the sizes, the parametrisation and the threshold."""
        return f"{super().extra_repr()}, {self.parametrisation}, threshold={self.threshold:g}"
