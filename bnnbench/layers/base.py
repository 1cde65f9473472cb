"""The base class of stochastic layers, the protocols of their further abilities, and the functions they share."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TINY = 1e-16  # added to a square under a logarithm: finite, with a finite slope, where it is 0


@runtime_checkable
class HasKL(Protocol):
    """A module with a posterior q over its parameters.

    It may also have ``kl_covers``, the names of the parameters in it whose prior is part of the KL; all, if absent. It
    speaks for the modules that it contains: their own KL, if they have one, is not added.
    Parameters other than ``weight`` and ``bias`` are those of q: they get neither prior nor the sampler's noise.
    """

    def kl(self) -> Tensor:
        """Return KL(q ‖ prior) in nats, summed over weights: a scalar, shape []."""


@runtime_checkable
class HasAlpha(Protocol):
    """A layer whose weights have a relative variance α = σ²/μ²."""

    def current_log_alpha(self) -> Tensor:
        """Return log α: of the layer, [], of its input units, [in_units], or of its weights, shape of ``weight``."""


@runtime_checkable
class Prunable(Protocol):
    """A layer that drops weights in evaluation."""

    def kept(self) -> Tensor:
        """Return the mask of the weights that are not dropped: boolean, in the shape of ``weight``."""


@runtime_checkable
class Thresholded(Prunable, HasAlpha, Protocol):
    """A layer that drops the weights with log α above its threshold, an attribute that can be set at any time."""

    threshold: float


class StochasticLayer(nn.Module):
    """Base of the stochastic layers: takes over the map, the weight and the bias of a plain layer.

    In training mode `forward` is `draw`, in evaluation mode `mean`. `sample` overrides the mode: True draws in
    evaluation too (Monte Carlo prediction), False never draws (deterministic pretraining), None follows the mode.

    Subclasses override `draw`, and `mean` if the mean weights are not ``weight``; see also the protocols of this
    module.

    Args:
        layer: nn.Linear, inputs [..., in_features], or nn.Conv2d, inputs [B, C, H, W]. Its parameters become this
            layer's, under the same names `weight` and `bias` (which may be None); they are not copied.
        sample: see above; also an attribute that can be set at any time.

    Raises:
        ValueError: `layer` is neither, or its weight or bias is computed from other parameters (weight normalisation).
    """

    compiles = False  # whether training steps of a linear layer have compiled loops; see `bnnbench.layers.fused.step`
    weight: nn.Parameter  # [out, in], or [out channels, in channels / groups, height, width]
    bias: nn.Parameter | None  # [out]
    in_units: int  # input features or channels
    # Of a convolution alone:
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str | int | tuple[int, ...]
    groups: int
    _pad: tuple[tuple[int, ...], str] | None  # width first; None for zeros

    def __init__(self, layer: nn.Linear | nn.Conv2d, sample: bool | None = None) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise ValueError(f"layer must be an nn.Linear or nn.Conv2d, got {type(layer).__name__}")
        bias = layer.bias
        if not isinstance(layer.weight, nn.Parameter) or not isinstance(bias, nn.Parameter | None):
            raise ValueError(
                f"layer must own its weight and bias; those of this {type(layer).__name__} are parametrised"
            )
        if sample not in (None, True, False):
            raise ValueError(f"sample must be None, True or False, got {sample!r}")
        self.weight = layer.weight
        self.register_parameter("bias", bias)
        self.sample = sample
        self.is_conv = isinstance(layer, nn.Conv2d)
        self._shape_text = layer.extra_repr()
        if isinstance(layer, nn.Conv2d):
            self.in_units = layer.in_channels
            self.stride, self.dilation, self.groups = layer.stride, layer.dilation, layer.groups
            zeros = layer.padding_mode == "zeros"
            self.padding = layer.padding if zeros else 0
            self._pad = None if zeros else (tuple(layer._reversed_padding_repeated_twice), layer.padding_mode)
        else:
            self.in_units = layer.in_features
        self.train(layer.training)

    @property
    def stochastic(self) -> bool:
        """Whether `forward` draws."""
        return self.training if self.sample is None else self.sample

    def forward(self, x: Tensor) -> Tensor:
        """Return pre-activations, [..., out_features] or [B, out_channels, H', W']."""
        return self.draw(x) if self.stochastic else self.mean(x)

    def draw(self, x: Tensor) -> Tensor:
        """Return pre-activations with fresh noise, in the shapes of `forward`.

        Args:
            x: [..., in_features] or [B, C, H, W].
        """
        raise NotImplementedError

    def mean(self, x: Tensor) -> Tensor:
        """Return the pre-activations of the mean weights, in the shapes of `forward`."""
        return self.affine(x, self.weight, self.bias)

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return W x + b, or the convolution, with this layer's geometry and the given weights."""
        if not self.is_conv:
            return F.linear(x, weight, bias)
        return F.conv2d(self._padded(x), weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def affine_each(self, x: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        """Return the same with a separate weight for every datum.

        Args:
            x: [B, ..., in_features] or [B, C, H, W].
            weights: [B, *weight.shape].
            biases: [B, outputs] or None.
        """
        size = len(x)
        if not self.is_conv:
            y = torch.einsum("b...i,boi->b...o", x, weights)
            return y if biases is None else y + biases.reshape(size, *[1] * (x.dim() - 2), -1)
        # One convolution with every datum as a group, instead of B convolutions.
        x = self._padded(x)
        folded, filters = x.reshape(1, -1, *x.shape[2:]), weights.flatten(0, 1)
        bias = None if biases is None else biases.flatten()
        y = F.conv2d(folded, filters, bias, self.stride, self.padding, self.dilation, self.groups * size)
        return y.reshape(size, -1, *y.shape[2:])

    def per_unit(self, values: Tensor) -> Tensor:
        """Return `values` [in_units], one per input feature or channel, in a shape that multiplies the input."""
        return values[:, None, None] if self.is_conv and values.dim() else values

    def _padded(self, x: Tensor) -> Tensor:
        return x if self._pad is None else F.pad(x, self._pad[0], mode=self._pad[1])

    def extra_repr(self) -> str:
        """Return the plain layer's sizes, and `sample` if it overrides the mode."""
        return self._shape_text + ("" if self.sample is None else f", sample={self.sample}")


def log_ratio(log_variance: Tensor, mean: Tensor) -> Tensor:
    """Return log α = log σ² − log μ², large but finite (and with a finite slope) where μ = 0."""
    return log_variance - (mean.square() + TINY).log()


def check_keep(keep: float) -> None:
    """Raise ValueError unless `keep` is a retain probability."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep (probability to RETAIN a unit) must be in (0, 1], got {keep}")


def check_choice(name: str, given: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless `given` is one of `allowed`."""
    if given not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {given!r}")


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless `value` is finite and above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be finite and > 0, got {value}")
