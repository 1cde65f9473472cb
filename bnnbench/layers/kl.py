"""Kullback–Leibler divergences of single weights, elementwise: every function returns the shape it is given.

A layer's KL is the SUM over its weights, a network's the sum over its layers; only the objective divides, once, by N.

For q(w) = N(θ, αθ²) and the improper log-uniform prior p(|w|) ∝ 1/|w| the divergence depends on α alone and is
defined up to a constant,

    KL(α) = E log|1 + √α ε| − ½ log α + c,   ε ~ N(0, 1).

c = (γ + log 2)/2 = 0.63518 (γ is Euler's constant) makes KL → 0 as α → ∞; then KL → c − ½ log α as α → 0. All forms
here carry that constant, or that of the fit, so that they can be compared.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bnnbench.layers.fused.ops import Op, fused

CONSTANT = 0.6351814227  # (γ + log 2)/2

# Kingma, Salimans & Welling 2015 (section 3.3 and its appendix): the cubic's coefficients.
C1, C2, C3 = 1.16145124, -1.50204118, 0.58629921

# Molchanov, Ashukha & Vetrov 2017, as printed and in the released code.
K1, K2, K3 = 0.63576, 1.87320, 1.48695


def cubic(log_alpha: Tensor) -> Tensor:
    """Return KL ≈ c − ½ log α − c₁α − c₂α² − c₃α³, for α ≤ 1 only.

    Kingma et al. 2015. Within 0.021 of the exact curve for log α in [−8, 0] under the best constant, which they leave
    open; with this one it is right as α → 0 and at most 0.041 too low.
    """
    alpha = log_alpha.exp()
    return CONSTANT - 0.5 * log_alpha - alpha * (C1 + alpha * (C2 + alpha * C3))


def bound(log_alpha: Tensor) -> Tensor:
    """Return c − ½ log α, an upper bound of KL for α ≤ 1 (Kingma et al. 2015), exact as α → 0.

    For large α it is no bound: it falls without end while KL stays above 0.
    """
    return CONSTANT - 0.5 * log_alpha


def sigmoid(log_alpha: Tensor) -> Tensor:
    """Return KL ≈ k₁ − k₁ σ(k₂ + k₃ log α) + ½ log(1 + 1/α), for every α > 0.

    σ is the logistic function. Molchanov et al. 2017; within 0.01 of the exact curve.
    """
    return fused(SIGMOID, log_alpha)


def _sigmoid(log_alpha: Tensor) -> Tensor:
    return K1 * torch.sigmoid(-(K2 + K3 * log_alpha)) + 0.5 * F.softplus(-log_alpha)


def _sigmoid_value(log_alpha: Tensor) -> tuple[Tensor, Tensor]:
    # The slope is −k₁k₃ s (1 − s) − ½ u/(1 + u), with s the logistic function's complement and u = 1/α.
    s = torch.rsub(log_alpha, -K2, alpha=K3).sigmoid_()
    u = log_alpha.neg().exp_().clamp_max_(torch.finfo(log_alpha.dtype).max)
    softplus = torch.log1p(u)
    torch.maximum(softplus, -log_alpha, out=softplus)  # for an infinite u
    fall = u.div_(u + 1).mul_(0.5).addcmul_(s, s, value=-K1 * K3).add_(s, alpha=K1 * K3)
    return softplus.mul_(0.5).add_(s, alpha=K1), fall


def _sigmoid_grads(grad: Tensor, log_alpha: Tensor, value: Tensor, fall: Tensor) -> tuple[Tensor]:
    return (fall * -grad,)


SIGMOID = Op(_sigmoid, _sigmoid_value, _sigmoid_grads)


def gaussian_kl(mean: Tensor, std: Tensor, prior_std: float) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, s²)) = ½ [(μ² + σ²)/s² − 1] − log(σ/s).

    Args:
        mean: μ.
        std: σ > 0.
        prior_std: s > 0.
    """
    ratio = std / prior_std
    return 0.5 * ((mean / prior_std).square() + ratio.square() - 1) - ratio.log()
