"""Sizes of feature maps, with an error that names the smallest image an architecture can take."""

from __future__ import annotations

from bnnbench.errors import ConfigError


def channels_and_features(
    name: str, in_shape: tuple[int, ...], *, kernel: int, padding: int, blocks: int
) -> tuple[int, int]:
    """Return the image's channels, and the height × width left after `blocks` of convolution and 2×2 pooling.

    Raises:
        ConfigError: `in_shape` is no [channels, height, width], or nothing would be left of the image.
    """
    if len(in_shape) != 3:
        raise ConfigError(
            f"model {name} needs images [channels, height, width], not inputs of shape {list(in_shape)}. "
            "For flat inputs take mlp or logistic."
        )
    channels, *size = in_shape
    left = list(size)
    for _ in range(blocks):
        left = [max(side + 2 * padding - kernel + 1, 0) // 2 for side in left]
    if min(left) < 1:
        smallest = 1
        for _ in range(blocks):
            smallest = max(2 * smallest + kernel - 1 - 2 * padding, 1)
        raise ConfigError(
            f"model {name}: images of {size[0]}×{size[1]} are too small, nothing is left after {blocks} times "
            f"convolution {kernel}×{kernel} (padding {padding}) and pooling. It needs {smallest}×{smallest} or more."
        )
    return channels, left[0] * left[1]
