"""Random streams of a run: their seeds, the noise ξ ~ N(0, I) that samplers inject, and that of the stochastic layers.

Every random stream has a name: ``seed = f(base seed, chain, role, …)``. Streams of different names are independent for
all practical purposes, and a chain's streams do not depend on how many chains run beside it. So chain 2 of a run with
``chains=4`` sees the initialisation, the minibatches and the noise that it would see in a run with ``chains=8``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnbench.kernels.fill import fill_normals
from bnnbench.kernels.keys import key
from bnnbench.layers import noise as layer_noise

ROLES = ("init", "data", "noise", "layers", "eval")
KEPT_DRAWS = 8  # of a step, whose keys are kept for the next


def derive_seed(seed: int, chain: int, role: str, *parts: int) -> int:
    """Return a 63-bit seed, the SHA-256 of the named parts.

    Args:
        seed: the run's base seed.
        chain: index of the chain, 0…K−1.
        role: what the stream is for, one of `ROLES`.
        parts: further indices, such as the epoch.
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {ROLES}, got {role!r}")
    name = "/".join(map(str, (seed, chain, role, *parts)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


class Noise:
    """Standard normals for a list of (stacked) parameters, one generator per chain.

    Chain k's numbers depend on ``seeds[k]`` and on how many were drawn before, not on the number of chains.
    All numbers of a step are drawn into one flat buffer: one call per chain instead of one per tensor.

    Args:
        seeds: one seed per chain; its length K is the size of the tensors' leading axis when K > 1.
        device: where the parameters live.
    """

    name = "torch's generator"  # for manifests

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.generators = [torch.Generator(device=device).manual_seed(seed) for seed in seeds]
        self._buffers: dict[tuple[object, ...], tuple[Tensor, list[Tensor]]] = {}

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return ξ with the shapes of `tensors`: views of one buffer, valid until the next call."""
        key = (tensors[0].dtype, *(t.shape for t in tensors))
        if key not in self._buffers:
            self._buffers[key] = self._allocate(tensors)
        buffer, views = self._buffers[key]
        for row, generator in zip(buffer, self.generators, strict=True):
            row.normal_(generator=generator)
        return list(views)

    def _allocate(self, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return a buffer [K, all elements of a chain] and its views with the shapes of `tensors`."""
        chains = len(self.generators)
        sizes = [t.numel() // chains for t in tensors]
        buffer = tensors[0].new_empty((chains, sum(sizes)))
        pieces = buffer.split(sizes, dim=1)
        return buffer, [piece.view(t.shape) for piece, t in zip(pieces, tensors, strict=True)]

    def begin(self, step: int) -> None:
        """Nothing: these numbers follow one another, whatever the step."""

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Return the generators' states."""
        return {"generators": [g.get_state() for g in self.generators]}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Continue the streams where `state_dict` was taken."""
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)


class CounterNoise:
    """Standard normals that are functions of seed, step, draw and tensor alone: Threefry, `bnnbench.kernels`.

    Nothing has to be kept to go on with them, and neither threads nor the other chains change them. Samplers that can
    draw them in the loop of their step ask for the keys alone.

    Args:
        seeds: one seed per chain; their number K is the size of the tensors' leading axis when K > 1.
    """

    name = "Threefry-2x32-20"

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds, self.chains = list(seeds), len(seeds)
        self._step, self._draw = 0, 0
        self._kept: dict[tuple[int, int], NDArray[np.uint32]] = {}

    def begin(self, step: int) -> None:
        """Let the draws that follow be those of a `step` below 2³²."""
        self._step, self._draw = step, 0

    def reserve(self, tensors: int) -> tuple[NDArray[np.uint32], np.uint32]:
        """Return the keys [tensors · K, 2] of the next draw of this step, chains within tensors, and the step."""
        draw, self._draw = self._draw, self._draw + 1
        keys = self._kept.get((draw, tensors))
        if keys is None:
            words = [key(seed, draw, tensor) for tensor in range(tensors) for seed in self.seeds]
            keys = np.array(words, np.uint32).reshape(-1, 2)
            if draw < KEPT_DRAWS:  # one that begins no step goes on counting
                self._kept[draw, tensors] = keys
        return keys, np.uint32(self._step)

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return ξ with the shapes, precision and device of `tensors`."""
        keys, step = self.reserve(len(tensors))
        found = []
        for tensor, own in zip(tensors, keys.reshape(len(tensors), self.chains, 2), strict=True):
            xi = np.empty((self.chains, tensor.numel() // self.chains), np.float32)
            for row, words in zip(xi, own, strict=True):
                fill_normals(row, (words[0], words[1]), step)
            found.append(torch.from_numpy(xi).view(tensor.shape).to(tensor.device, tensor.dtype))
        return found

    def state_dict(self) -> dict[str, list[int]]:
        """Return what tells these streams from others."""
        return {"seeds": self.seeds}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Check that `state` is of the same streams: there is nothing else to restore.

        Raises:
            ValueError: it is not.
        """
        if state["seeds"] != self.seeds:
            raise ValueError("noise of other seeds")


NoiseSource = Noise | CounterNoise


def noise_source(kind: Literal["counter", "torch"], seeds: Sequence[int], device: torch.device) -> NoiseSource:
    """Return the samplers' noise of a run, one stream per seed: counted on a CPU alone, if `kind` says so."""
    return CounterNoise(seeds) if kind == "counter" and device.type == "cpu" else Noise(seeds, device)


@contextmanager
def layer_stream(
    seeds: Sequence[int], device: torch.device, kind: Literal["counter", "torch"] = "torch"
) -> Iterator[None]:
    """Let stochastic layers draw from streams of `seeds`, one per chain, within a ``with`` block.

    Counted on a CPU, if `kind` says so. Else, and for layers of one's own that do not ask `bnnbench.layers.noise`, they
    draw from torch's global generator, the only one that works under vmap, whose state is restored. Under vmap one call
    then draws for all chains: that noise does depend on how many chains run together.
    """
    counter = layer_noise.Counter(seeds) if kind == "counter" and device.type == "cpu" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), layer_noise.counted(counter):
        torch.manual_seed(seeds[0])
        yield


def begin(step: int, noise: NoiseSource) -> None:
    """Let the draws that follow, the sampler's from `noise` and the layers', be those of `step`."""
    noise.begin(step)
    layer_noise.begin(step)


def stream_state(device: torch.device) -> Tensor:
    """Return the state of torch's generator, from which layers draw what is not counted."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_stream_state(state: Tensor, device: torch.device) -> None:
    """Continue that stream where `stream_state` was taken."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
