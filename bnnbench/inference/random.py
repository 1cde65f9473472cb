"""Random streams of a run: their seeds, the noise ξ ~ N(0, I) that samplers inject, and that of the stochastic layers.

Every random stream has a name: ``seed = f(base seed, chain, role, …)``. Streams of different names are independent for
all practical purposes, and a chain's streams do not depend on how many chains run beside it. So chain 2 of a run with
``chains=4`` sees the initialisation, the minibatches and the noise that it would see in a run with ``chains=8``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

ROLES = ("init", "data", "noise", "layers", "eval")


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

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Return the generators' states."""
        return {"generators": [g.get_state() for g in self.generators]}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Continue the streams where `state_dict` was taken."""
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)


@contextmanager
def layer_stream(seed: int, device: torch.device) -> Iterator[None]:
    """Let stochastic layers draw from a stream of `seed` within a ``with`` block.

    They draw from torch's global generator, the only one that works under vmap, and restore its state. Under vmap
    one call draws for all chains: this noise, unlike the samplers', does depend on how many chains run together.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def stream_state(device: torch.device) -> Tensor:
    """Return the state of the layers' stream."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_stream_state(state: Tensor, device: torch.device) -> None:
    """Continue the layers' stream where `stream_state` was taken."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
