"""Metrics as pure functions of predictions and targets, computed in double precision.

Shapes: probabilities p [..., N, C], labels y [N] (int64), results [...]; leading axes (chains, members) pass through.
NaN in, NaN out, except for `error`. Nothing here depends on the order of summation of parallel threads on a GPU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = torch.finfo(torch.float64).tiny  # 2.2e-308


def error(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the fraction of data whose most probable class is wrong, (1/N) Σ_n 1[argmax_c p_nc ≠ y_n]."""
    return error_per_datum(probabilities, labels).mean(-1)


def error_per_datum(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return 1[argmax_c p_nc ≠ y_n], [..., N]."""
    return (probabilities.argmax(-1) != labels).double()


def nll(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return −(1/N) Σ_n log p_n,y_n in nats per datum (the logarithmic score, Good 1952).

    A probability of exactly 0 counts as 2.2e-308, that is 708.4 nats: finite, but never mistaken for a good score.
    """
    return nll_per_datum(probabilities, labels).mean(-1)


def nll_per_datum(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return −log p_n,y_n in nats, [..., N]."""
    return -_of_label(probabilities, labels).clamp_min(TINY).log()


def brier(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return (1/N) Σ_n Σ_c (p_nc − 1[y_n = c])², from 0 to 2 (Brier 1950, summed over classes, not averaged)."""
    return brier_per_datum(probabilities, labels).mean(-1)


def brier_per_datum(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return Σ_c (p_nc − 1[y_n = c])², [..., N]."""
    p = probabilities.double()
    return (p - F.one_hot(labels, p.shape[-1])).square().sum(-1)


def ece(probabilities: Tensor, labels: Tensor, bins: int = 15) -> Tensor:
    """Return the expected calibration error Σ_m |B_m|/N · |accuracy(B_m) − confidence(B_m)| (Guo et al. 2017, eq. 3).

    Confidence is max_c p_nc; B_m holds those in ((m−1)/M, m/M], so 1 lies in the last; the first contains 0 as well.

    Args:
        bins: M, of equal width.
    """
    confidence, predicted = probabilities.double().max(-1)  # [..., N]
    gap = (predicted == labels).double() - confidence
    edges = torch.arange(1, bins, dtype=torch.float64, device=gap.device) / bins  # the inner ones
    bin_of = torch.bucketize(confidence, edges)
    # |B|/N · |mean gap in B| = |sum of gaps in B|/N. A loop, because scatter_add on a GPU sums in a random order.
    sums = [torch.where(bin_of == m, gap, 0.0).sum(-1) for m in range(bins)]
    return torch.stack(sums).abs().sum(0) / labels.shape[-1]


def entropy_per_datum(probabilities: Tensor) -> Tensor:
    """Return H_n = −Σ_c p_nc log p_nc in nats, with 0 log 0 = 0; [..., N, C] → [..., N]."""
    return torch.special.entr(probabilities.double()).sum(-1)


def entropy(probabilities: Tensor) -> Tensor:
    """Return the mean predictive entropy (1/N) Σ_n H_n in nats, from 0 to log C (Shannon 1948)."""
    return entropy_per_datum(probabilities).mean(-1)


def mutual_information_per_datum(probabilities: Tensor, member_entropy: Tensor) -> Tensor:
    """Return I_n = H[p̄_n] − (1/S) Σ_s H[p_n^(s)] in nats: what the members disagree on (Houlsby et al. 2011, eq. 2).

    Args:
        probabilities: p̄, the mean of the S members' probabilities [..., N, C].
        member_entropy: mean over members of each one's `entropy_per_datum` [..., N].

    Not negative up to rounding; left unclamped, so that a mistake in either argument shows.
    """
    return entropy_per_datum(probabilities) - member_entropy.double()


def mutual_information(probabilities: Tensor, member_entropy: Tensor) -> Tensor:
    """Return the mean over data of `mutual_information_per_datum`, [...]."""
    return mutual_information_per_datum(probabilities, member_entropy).mean(-1)


def auroc(scores_in: Tensor, scores_out: Tensor) -> Tensor:
    """Return P(s_out > s_in) + ½ P(s_out = s_in), the area under the ROC curve (Mann–Whitney U / (N_in N_out)).

    Args:
        scores_in: [..., N_in], the negatives (in distribution); any real numbers, only their order counts.
        scores_out: [..., N_out], the positives, which should score higher; same leading axes.
    """
    ordered = scores_in.double().sort(-1).values
    positives = scores_out.double().contiguous()
    below = torch.searchsorted(ordered, positives)
    below_or_equal = torch.searchsorted(ordered, positives, right=True)
    area = (below + below_or_equal).double().mean(-1) / (2 * ordered.shape[-1])
    # NaN has a place in the sorted order and would pass for a high score. Infinite scores are legitimate.
    has_nan = ordered.isnan().any(-1) | positives.isnan().any(-1)
    return torch.where(has_nan, math.nan, area)


def rmse(mean: Tensor, y: Tensor, std: float | Tensor = 1.0) -> Tensor:
    """Return s √((1/N) Σ_n (μ_n − y_n)²): mean [..., N], y [N], both scaled; s brings it to the target's own units."""
    return squared_error(mean, y).mean(-1).sqrt() * std


def squared_error(mean: Tensor, y: Tensor) -> Tensor:
    """Return (μ_n − y_n)², [..., N]."""
    return (mean.double() - y.double()).square()


def gaussian_log_density(mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    """Return log N(y; μ, v) = −½[log 2πv + (y − μ)²/v] elementwise, in nats; the arguments broadcast.

    The density is one of the y given: for a target divided by s, subtract log s to have it in the original units.
    """
    v = variance.double()
    return -0.5 * (math.log(2 * math.pi) + v.log() + (y.double() - mean.double()).square() / v)


def _of_label(probabilities: Tensor, labels: Tensor) -> Tensor:
    index = labels.expand(probabilities.shape[:-1]).unsqueeze(-1)
    return probabilities.gather(-1, index).squeeze(-1).double()
