"""What the stochastic layers share: the affine map of a Linear or Conv2d, and when its weights are random."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnnbench.layers.fused.ops import Op, fused

FLOOR = 1e-16  # of a variance under a root: the root of exactly 0 has an infinite slope, and ∞ · 0 would be NaN


class StochasticLayer(nn.Module):
    """Takes over the map, the weight and the bias of a plain layer; base of the stochastic layers.

    In training mode `forward` is `draw`, in evaluation mode `mean`. `sample` overrules the mode: True draws in
    evaluation too (Monte Carlo prediction), False never draws (deterministic pretraining), None follows the mode.

    Args:
        layer: nn.Linear, inputs [..., in_features], or nn.Conv2d, inputs [B, C, H, W]. Its parameters become this
            layer's, under the same names `weight` and `bias` (which may be None); they are not copied.
        sample: see above; also an attribute that can be set at any time.

    Raises:
        ValueError: `layer` is neither, or its weight is computed from other parameters (weight normalisation).
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, sample: bool | None = None) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise ValueError(f"layer must be an nn.Linear or nn.Conv2d, got {type(layer).__name__}")
        if not isinstance(layer.weight, nn.Parameter):
            raise ValueError(f"layer must own its weight; that of this {type(layer).__name__} is parametrised")
        if sample not in (None, True, False):
            raise ValueError(f"sample must be None, True or False, got {sample!r}")
        self.weight = layer.weight
        self.register_parameter("bias", layer.bias)
        self.sample = sample
        self.is_conv = isinstance(layer, nn.Conv2d)
        self._shape_text = layer.extra_repr()
        if self.is_conv:
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
        """Return pre-activations with fresh noise."""
        raise NotImplementedError

    def mean(self, x: Tensor) -> Tensor:
        """Return the pre-activations of the mean weights."""
        return self.affine(x, self.weight, self.bias)

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return W x + b, or the convolution, with this layer's geometry and the given weights."""
        if not self.is_conv:
            return F.linear(x, weight, bias)
        return F.conv2d(self._padded(x), weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def affine_each(self, x: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        """Return the same with weights of its own for every datum.

        Args:
            x: [B, ..., in_features] or [B, C, H, W].
            weights: [B, *weight.shape].
            biases: [B, outputs] or None.
        """
        size = len(x)
        if not self.is_conv:
            y = torch.einsum("b...i,boi->b...o", x, weights)
            return y if biases is None else y + biases.reshape(size, *[1] * (x.dim() - 2), -1)
        # One convolution in which every datum is a group, rather than B convolutions.
        x = self._padded(x)
        folded, filters = x.reshape(1, -1, *x.shape[2:]), weights.flatten(0, 1)
        bias = None if biases is None else biases.flatten()
        y = F.conv2d(folded, filters, bias, self.stride, self.padding, self.dilation, self.groups * size)
        return y.reshape(size, -1, *y.shape[2:])

    def per_unit(self, values: Tensor) -> Tensor:
        """Return `values` [units], one per input feature or channel, in a shape that multiplies the layer's input."""
        return values[:, None, None] if self.is_conv and values.dim() else values

    def _padded(self, x: Tensor) -> Tensor:
        return x if self._pad is None else F.pad(x, self._pad[0], mode=self._pad[1])

    def extra_repr(self) -> str:
        """Return the plain layer's sizes, and `sample` where it overrules the mode."""
        return self._shape_text + ("" if self.sample is None else f", sample={self.sample}")


def normal(mean: Tensor, variance: Tensor, floor: float = FLOOR) -> Tensor:
    """Return mean + √variance ⊙ ε with ε ~ N(0, I), differentiable in both: the local reparameterisation's draw.

    Fast convolutions may return −1e-10 where the variance is 0: below the floor it has no slope.
    """
    return fused(_normal(floor), mean, variance, torch.randn_like(mean))


def _normal(floor: float) -> Op:
    def plain(mean: Tensor, variance: Tensor, epsilon: Tensor) -> Tensor:
        return mean + variance.clamp_min(floor).sqrt() * epsilon

    def value(mean: Tensor, variance: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        std = variance.clamp_min(floor).sqrt_()
        return torch.addcmul(mean, std, epsilon), std

    def grads(
        grad: Tensor, mean: Tensor, variance: Tensor, epsilon: Tensor, y: Tensor, std: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        slope = (grad * epsilon).div_(std).mul_(0.5)
        return grad, torch.ops.aten.threshold_backward(slope, variance, floor), None  # 0 up to the floor

    return Op(plain, value, grads)


def log_ratio(log_variance: Tensor, mean: Tensor) -> Tensor:
    """Return log α = log σ² − log μ², large but finite (and with a finite slope) where μ = 0."""
    return log_variance - (mean.square() + FLOOR).log()


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
