"""Kullback–Leibler divergences of single weights, elementwise, in the shape of the argument (but `gaussian_total`).

A layer's KL is the SUM over its weights, a network's the sum over its layers; only the objective divides, once, by N.

For q(w) = N(θ, αθ²) and the improper log-uniform prior p(|w|) ∝ 1/|w| the divergence depends on α alone and is
defined up to a constant,

    KL(α) = E log|1 + √α ε| − ½ log α + c,   ε ~ N(0, 1).

c = (γ + log 2)/2 = 0.63518 (γ is Euler's constant) makes KL → 0 as α → ∞; then KL → c − ½ log α as α → 0. Every form
below carries this constant, or that of its fit, so that they can be compared.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CONSTANT = 0.6351814227  # (γ + log 2)/2

# Kingma, Salimans & Welling 2015 (section 3.3 and its appendix): the cubic's coefficients.
C1, C2, C3 = 1.16145124, -1.50204118, 0.58629921

# Molchanov, Ashukha & Vetrov 2017, as printed and in the released code.
K1, K2, K3 = 0.63576, 1.87320, 1.48695


def cubic(log_alpha: Tensor) -> Tensor:
    """Return KL ≈ c − ½ log α − c₁α − c₂α² − c₃α³, for α ≤ 1 only.

    Kingma et al. 2015. Within 0.021 of the exact curve for log α in [−8, 0] with the best constant, which they do not
    give; with this one it is exact as α → 0 and at most 0.041 too low.
    """
    alpha = log_alpha.exp()
    return CONSTANT - 0.5 * log_alpha - alpha * (C1 + alpha * (C2 + alpha * C3))


def bound(log_alpha: Tensor) -> Tensor:
    """Return c − ½ log α, an upper bound of KL for α ≤ 1 (Kingma et al. 2015), exact as α → 0.

    For large α it is not a bound: it decreases without limit while KL stays above 0.
    """
    return CONSTANT - 0.5 * log_alpha


def sigmoid(log_alpha: Tensor) -> Tensor:
    """Return KL ≈ k₁ − k₁ σ(k₂ + k₃ log α) + ½ log(1 + 1/α), for every α > 0.

    σ is the logistic function. Molchanov et al. 2017; within 0.01 of the exact curve.
    """
    return K1 * torch.sigmoid(-(K2 + K3 * log_alpha)) + 0.5 * F.softplus(-log_alpha)


def gaussian_kl(mean: Tensor, std: Tensor, prior_std: float) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, s²)) = ½ [(μ² + σ²)/s² − 1] − log(σ/s).

    Args:
        mean: μ.
        std: σ > 0.
        prior_std: s > 0.
    """
    ratio = std / prior_std
    return 0.5 * ((mean / prior_std).square() + ratio.square() - 1) - ratio.log()


def gaussian_total(mean: Tensor, std: Tensor, prior_std: float) -> Tensor:
    """Return the sum of `gaussian_kl` over all elements, a scalar: Σ (μ² + σ²)/2s² − Σ log σ + n (log s − ½).

    Summing squares as dot products spares a pass over memory each, forward and backward.
    """
    mean, std = mean.flatten(), std.flatten()
    with torch.autocast(mean.device.type, enabled=False):  # dot products are on its list of half-precision operations
        squares = mean.dot(mean) + std.dot(std)
    return 0.5 / prior_std**2 * squares - std.log().sum() + mean.numel() * (math.log(prior_std) - 0.5)
