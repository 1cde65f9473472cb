"""Loops over the weights and the pre-activations of stochastic layers: one pass forward and one backward.

Arguments are addresses of contiguous float32 arrays, sizes, and numbers, used in single precision. Where an array is
optional its address may be 0. The functions are those of `bnnbench.layers`, where they are explained;
`bnnbench.layers.fused` calls them.

A KL is returned in double precision. It is NaN or infinite if an argument of an exponential is no number or lies where
single precision ends: then the plain formula serves, and nothing that the loop wrote is used. What depends on one
weight is written in several short loops over a block: each needs no more values at a time than there are registers.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32, float64, njit

from bnnbench.kernels.addresses import floats
from bnnbench.kernels.arithmetic import exp, log
from bnnbench.kernels.compiler import FAST, inline, loop

BLOCK = 1024  # weights at a time, which stay in the innermost cache from one loop to the next
TINY = float32(np.finfo(np.float32).tiny)
LIMIT = float32(8)  # of |log α| in Sparse VD
TIE = float32(1e-6)
K1, K2, K3 = float32(0.63576), float32(1.87320), float32(1.48695)  # of the sigmoid KL, see `bnnbench.layers.kl`


@inline
def _checked(x, limit):
    """Return x for |x| ≤ limit, else NaN."""
    return x if abs(x) <= limit else float32(np.nan)


@inline
def _log1p(e):
    """Return log(1 + e) for e ≥ 0: what 1 + e has lost is added back."""
    u = float32(1) + e
    return log(u) + (e - (u - float32(1))) / u


@njit(fastmath=FAST | {"reassoc"}, error_model="numpy")
def _sum(values):
    """Return the sum of a block; in any order, or there were no vector instructions for it."""
    total = float32(0)
    for i in range(values.shape[0]):
        total += values[i]
    return total


@loop
def mean_field_forward(mu, rho, variance, n, precision):
    """σ² = softplus(ρ)², and the sum of (μ² + σ²)/2s² − log σ.

    Args:
        mu, rho: μ and ρ [n].
        variance: to hold σ² [n].
        precision: 1/s².
    """
    precision = float32(precision)
    mu, rho, variance = floats(mu, n), floats(rho, n), floats(variance, n)
    terms, total = np.empty(BLOCK, np.float32), float64(0)
    for first in range(0, n, BLOCK):
        size = min(BLOCK, n - first)
        m, r, v = mu[first : first + size], rho[first : first + size], variance[first : first + size]
        for i in range(size):
            terms[i] = exp(-abs(_checked(r[i], float32(40))))
        for i in range(size):
            std = (r[i] if r[i] > float32(0) else float32(0)) + _log1p(terms[i])
            v[i] = std * std
        for i in range(size):
            terms[i] = float32(0.5) * (precision * (v[i] + m[i] * m[i]) - log(v[i])) + (v[i] - v[i])
        total += _sum(terms[:size])
    return total


@loop
def mean_field_backward(mu, rho, variance, to_mu, to_variance, n, weight, precision):
    """Gradients to μ and ρ of a loss through γ, δ and the KL.

    Args:
        mu, rho, variance: μ, ρ and σ² [n].
        to_mu: holds the gradient through γ, to hold the whole one [n].
        to_variance: holds the gradient to σ² through δ, to hold that to ρ [n].
        weight: address of the gradient to the KL, a scalar, or 0.
        precision: 1/s².
    """
    precision = float32(precision)
    mu, rho, variance = floats(mu, n), floats(rho, n), floats(variance, n)
    to_mu, to_variance = floats(to_mu, n), floats(to_variance, n)
    beta = floats(weight, 1)[0] if weight != 0 else float32(0)
    shrink = beta * precision
    for i in range(n):
        e = exp(-abs(rho[i]))
        slope = (float32(1) if rho[i] >= float32(0) else e) / (float32(1) + e)  # dσ/dρ
        std = math.sqrt(variance[i])
        to_variance[i] = (std * (float32(2) * to_variance[i] + shrink) - beta / std) * slope
        to_mu[i] += shrink * mu[i]


@inline
def _smooth(log_alpha, alpha):
    """Return the sigmoid KL and its slope by log α."""
    inverse = float32(1) / alpha
    s = float32(1) / (float32(1) + exp(K2 + K3 * log_alpha))
    value = K1 * s + float32(0.5) * _log1p(inverse)
    return value, K1 * K3 * (s * s - s) - float32(0.5) * inverse / (float32(1) + inverse)


@loop
def alpha_forward(theta, log_alpha, variance, n, limit, smooth, half, c1, c2, c3):
    """αθ² (or α), and the sum of −h log α − c₁α − c₂α² − c₃α³, or of the sigmoid KL.

    Args:
        theta: θ [n], or 0 for α itself.
        log_alpha: log α [n], of which no more than `limit` counts.
        variance: to hold αθ² [n].
        smooth: whether the KL is the sigmoid.
        half, c1, c2, c3: h and the coefficients.
    """
    limit, half, c1, c2, c3 = float32(limit), float32(half), float32(c1), float32(c2), float32(c3)
    log_alpha, variance = floats(log_alpha, n), floats(variance, n)
    weights = floats(theta, n if theta != 0 else 0)
    terms, total = np.empty(BLOCK, np.float32), float64(0)
    for first in range(0, n, BLOCK):
        size = min(BLOCK, n - first)
        a, v = log_alpha[first : first + size], variance[first : first + size]
        for i in range(size):
            bounded = _checked(a[i], float32(50))
            v[i] = exp(limit if bounded > limit else bounded)
        if smooth:
            for i in range(size):
                terms[i] = _smooth(limit if a[i] > limit else a[i], v[i])[0]
        else:
            for i in range(size):
                terms[i] = -half * (limit if a[i] > limit else a[i]) - v[i] * (c1 + v[i] * (c2 + v[i] * c3))
                terms[i] += v[i] - v[i]
        total += _sum(terms[:size])
        if theta != 0:
            w = weights[first : first + size]
            for i in range(size):
                v[i] *= w[i] * w[i]
    return total


@inline
def _projected(gradient, log_alpha, limit):
    return float32(0) if (log_alpha >= limit and gradient <= float32(0)) else gradient


@loop
def alpha_backward(theta, log_alpha, to_theta, to_variance, n, weight, scale, limit, smooth, half, c1, c2, c3):
    """Gradients to θ and log α of a loss through γ, δ and the KL; at the limit those to log α are projected.

    Args:
        theta: θ [n], or 0 where the weights share an α: then `to_variance` holds the gradient to log α through δ.
        log_alpha: log α [n].
        to_theta: holds the gradient through γ, to hold the whole one [n].
        to_variance: holds the gradient to αθ² through δ, to hold that to log α [n].
        weight: address of the gradient to the KL, a scalar, or 0.
        scale: weights that share an α.
        limit, smooth, half, c1, c2, c3: see `alpha_forward`.
    """
    limit, half, c1, c2, c3 = float32(limit), float32(half), float32(c1), float32(c2), float32(c3)
    log_alpha, to_variance = floats(log_alpha, n), floats(to_variance, n)
    size = n if theta != 0 else 0
    weights, to_weights = floats(theta, size), floats(to_theta, size)
    for i in range(size):
        a = log_alpha[i]
        half_slope = to_variance[i] * exp(limit if a > limit else a) * weights[i]
        to_weights[i] += float32(2) * half_slope
        to_variance[i] = half_slope * weights[i]
    beta = float32(scale) * floats(weight, 1)[0] if weight != 0 else float32(0)
    for i in range(n):
        a = log_alpha[i]
        b = limit if a > limit else a
        alpha = exp(b)
        if smooth:
            slope = _smooth(b, alpha)[1]
        else:
            slope = -half - alpha * (c1 + alpha * (float32(2) * c2 + alpha * (float32(3) * c3)))
        to_variance[i] = _projected(to_variance[i], a, limit) + _projected(beta * slope, a, limit)


@loop
def unit_backward(theta, to_theta, to_square, to_log_alpha, rows, columns):
    """Gradients of a loss through δ = Σ θ² (αx²) to θ, and to the log α of every input.

    Args:
        theta: θ [rows, columns].
        to_theta: holds the gradient through γ, to hold the whole one [rows, columns].
        to_square: the gradient to θ² [rows, columns].
        to_log_alpha: to hold that to log α [columns].
    """
    total = floats(to_log_alpha, columns)
    total[:] = float32(0)
    theta, n = floats(theta, rows * columns), columns
    to_theta, to_square = floats(to_theta, rows * columns), floats(to_square, rows * columns)
    for row in range(rows):
        w, to_w = theta[row * n : (row + 1) * n], to_theta[row * n : (row + 1) * n]
        h = to_square[row * n : (row + 1) * n]
        for i in range(n):
            half_slope = h[i] * w[i]
            to_w[i] += float32(2) * half_slope
            total[i] += half_slope * w[i]


@loop
def sparse_forward(theta, log_sigma2, variance, slope, kept, n, threshold):
    """σ² in [e⁻⁸θ², e⁸θ²], the sum of the sigmoid KL, and its slope by log α.

    Args:
        theta, log_sigma2: θ and log σ² [n].
        variance: to hold σ² [n].
        slope: to hold the slope [n]: below 0 within the limits of log α, and 0 beyond.
        kept: to hold 1 where log α ≤ `threshold`, else 0 [n]; or 0.
    """
    threshold = float32(threshold)
    theta, log_sigma2 = floats(theta, n), floats(log_sigma2, n)
    variance, slope = floats(variance, n), floats(slope, n)
    mask = floats(kept, n if kept != 0 else 0)
    logs, terms, total = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), float64(0)
    for first in range(0, n, BLOCK):
        size = min(BLOCK, n - first)
        t, s2 = theta[first : first + size], log_sigma2[first : first + size]
        v, d = variance[first : first + size], slope[first : first + size]
        for i in range(size):
            square = t[i] * t[i]
            a = s2[i] - log(square + TINY)
            a = LIMIT if square == float32(0) and s2[i] == s2[i] else a
            b = LIMIT if a > LIMIT else a
            b = -LIMIT if b < -LIMIT else b
            d[i] = float32(1) if (a == b and square > float32(0)) else float32(0)
            logs[i] = b + (square - square)  # NaN stays
        for i in range(size):
            v[i] = t[i] * t[i] * exp(logs[i])
        for i in range(size):
            terms[i] = exp(-logs[i])  # 1/α
        for i in range(size):
            s = float32(1) / (float32(1) + exp(K2 + K3 * logs[i]))
            inverse = terms[i]
            d[i] *= K1 * K3 * (s * s - s) - float32(0.5) * inverse / (float32(1) + inverse)
            terms[i] = K1 * s
            terms[i] += float32(0.5) * _log1p(inverse)
        total += _sum(terms[:size])
        if kept != 0:
            k = mask[first : first + size]
            for i in range(size):
                k[i] = float32(1) if logs[i] - threshold <= TIE else float32(0)
    return total


@loop
def sparse_backward(theta, variance, slope, to_theta, to_variance, n, weight):
    """Gradients to θ and log σ² of a loss through γ, δ and the KL.

    Args:
        theta, variance, slope: see `sparse_forward`.
        to_theta: holds the gradient through γ, to hold the whole one [n].
        to_variance: holds the gradient to σ² through δ, to hold that to log σ² [n].
        weight: address of the gradient to the KL, a scalar, or 0.
    """
    theta, variance, slope = floats(theta, n), floats(variance, n), floats(slope, n)
    to_theta, to_variance = floats(to_theta, n), floats(to_variance, n)
    beta = floats(weight, 1)[0] if weight != 0 else float32(0)
    for i in range(n):
        w = theta[i]
        through_variance = to_variance[i] * variance[i]
        of_kl = beta * slope[i]
        inside = slope[i] != float32(0)
        to_variance[i] = (through_variance if inside else float32(0)) + of_kl
        beyond = float32(0) if inside else through_variance  # there σ² is proportional to θ²
        to_theta[i] += float32(2) * (beyond - of_kl) * w / (w * w + TINY)


@loop
def draw_forward(mean, variance, noise, bias, bias_variance, rows, columns, added, floor):
    """γ + b + ε √δ for δ = max(variance + added, floor).

    Args:
        mean: holds γ, to hold the draw [rows, columns].
        variance: holds the variance, to hold √δ [rows, columns].
        noise: ε [rows, columns].
        bias, bias_variance: b and a further part of the variance [columns], or 0.
    """
    added, floor = float32(added), float32(floor)
    b, bv = floats(bias, columns if bias != 0 else 0), floats(bias_variance, columns if bias_variance != 0 else 0)
    size, n = rows * columns, columns
    mean, variance, noise = floats(mean, size), floats(variance, size), floats(noise, size)
    for row in range(rows):
        y, v, e = mean[row * n : (row + 1) * n], variance[row * n : (row + 1) * n], noise[row * n : (row + 1) * n]
        if bias_variance != 0:
            for j in range(n):
                v[j] += bv[j]
        if bias != 0:
            for j in range(n):
                y[j] += b[j]
        for j in range(n):
            total = v[j] + added
            v[j] = math.sqrt(floor if total < floor else total)
            y[j] += v[j] * e[j]


@loop
def draw_backward(grad, noise, std, to_variance, to_bias, to_bias_variance, rows, columns, root):
    """Gradients to the variance, 0 where √δ is at its least value, and the sums over the batch.

    Args:
        grad, noise, std: the gradient to the draw, ε and √δ [rows, columns].
        to_variance: to hold the gradient to δ [rows, columns].
        to_bias, to_bias_variance: to hold the sums of `grad` and `to_variance` [columns].
        root: the least √δ.
    """
    root = float32(root)
    to_b, to_bv = floats(to_bias, columns), floats(to_bias_variance, columns)
    to_b[:], to_bv[:] = float32(0), float32(0)
    size, n = rows * columns, columns
    grad, noise, std, to_variance = (
        floats(grad, size),
        floats(noise, size),
        floats(std, size),
        floats(to_variance, size),
    )
    for row in range(rows):
        g, e, s = grad[row * n : (row + 1) * n], noise[row * n : (row + 1) * n], std[row * n : (row + 1) * n]
        v = to_variance[row * n : (row + 1) * n]
        for j in range(n):
            v[j] = float32(0) if s[j] <= root else float32(0.5) * g[j] * e[j] / s[j]
        for j in range(n):
            to_b[j] += g[j]
            to_bv[j] += v[j]
