"""K independent networks trained as one: parameters and buffers stacked along a leading chain axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from bnnbench.layers import network as networks
from bnnbench.layers.noise import of_chain

State = dict[str, Tensor]


class Chains:
    """K networks of one architecture, each with its own initialisation.

    With K > 1 every parameter θ has shape [K, *shape] and the networks run together under ``torch.vmap``; update rules
    are elementwise and need no change. With K = 1 the network is used as it is, without vmap and without the axis.
    Outputs always carry the axis: [K, B, outputs].

    Args:
        build: makes one freshly initialised network from torch's global generator.
        seeds: one initialisation seed per chain.
        device: where the networks live.
    """

    def __init__(self, build: Callable[[], nn.Module], seeds: Sequence[int], device: torch.device) -> None:
        networks = []
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):  # initialised on the CPU: the same numbers on every device
                torch.manual_seed(seed)
                networks.append(build())
        self.count = len(seeds)
        self.one_by_one = False  # see `probe`
        self.network = networks[0].to(device)
        if self.count == 1:
            self.parameters: State = dict(self.network.named_parameters())
            self.buffers: State = dict(self.network.named_buffers())
        else:
            parameters, buffers = stack_module_state([n.to(device) for n in networks])
            trained = {name: p.requires_grad for name, p in self.network.named_parameters()}
            self.parameters = {name: nn.Parameter(p.detach(), trained[name]) for name, p in parameters.items()}
            self.buffers = {name: b.detach().clone() for name, b in buffers.items()}
            self._index = torch.arange(self.count)
            self._vmapped = {
                axis: torch.vmap(self._one, in_dims=(0, 0, axis, 0), randomness="different") for axis in (0, None)
            }

    @property
    def size(self) -> int:
        """Number of parameters of one network."""
        return sum(p.numel() for p in self.parameters.values()) // self.count

    def _one(self, parameters: State, buffers: State, x: Tensor, chain: int | Tensor) -> Tensor:
        with of_chain(chain):
            return functional_call(self.network, (parameters, buffers), (x,))

    def __call__(self, x: Tensor, *, shared: bool = False, buffers: State | None = None) -> Tensor:
        """Return the outputs [K, B, outputs].

        Args:
            x: minibatches [K, B, …], one per chain; or one batch [B, …] for all chains if `shared`.
            shared: see `x`.
            buffers: used in place of the chains' own (and changed by a BatchNorm in training mode).
        """
        if self.count == 1:
            batch = x if shared else x[0]
            if buffers is None:
                return self.network(batch).unsqueeze(0)
            return functional_call(self.network, (self.parameters, buffers), (batch,)).unsqueeze(0)
        buffers = self.buffers if buffers is None else buffers
        if self.one_by_one:
            return torch.stack([self._alone(k, buffers, x if shared else x[k]) for k in range(self.count)])
        return self._vmapped[None if shared else 0](self.parameters, buffers, x, self._index)

    def _alone(self, chain: int, buffers: State, x: Tensor) -> Tensor:
        """Return the outputs of one chain; what it changes in its buffers is a view of `buffers`."""
        parameters = {name: p[chain] for name, p in self.parameters.items()}
        return self._one(parameters, {name: b[chain] for name, b in buffers.items()}, x, chain)

    @torch.no_grad()
    def probe(self, in_shape: tuple[int, ...]) -> None:
        """Let the networks run one by one if ``torch.vmap`` cannot run them together, or computes something else.

        It has no rule for recurrent networks, and none for branches on values.
        """
        if self.count == 1 or not self.parameters:
            return
        parameter = next(iter(self.parameters.values()))
        x, device = torch.ones(2, *in_shape, dtype=parameter.dtype, device=parameter.device), parameter.device
        cuda = [device] if device.type == "cuda" else []
        with self.mode(False), torch.random.fork_rng(devices=cuda):
            self.one_by_one = True
            alone = self(x, shared=True, buffers=self.copy_buffers())
            self.one_by_one = False
            try:
                together = self(x, shared=True, buffers=self.copy_buffers())
                self.one_by_one = not torch.allclose(together, alone, rtol=1e-3, atol=1e-4, equal_nan=True)
            except RuntimeError:
                self.one_by_one = True

    def kl(self) -> Tensor:
        """Return the KL of each network's weights from their prior [K], in nats; 0 without a layer that has one."""
        if self.count == 1:
            return networks.kl(self.network).unsqueeze(0)
        return torch.vmap(self._kl, randomness="different")(self.parameters, self._index)

    def _kl(self, parameters: State, chain: Tensor) -> Tensor:
        with of_chain(chain):
            return networks.kl(self.network, parameters)

    def with_axis(self, parameters: Mapping[str, Tensor]) -> State:
        """Return the given parameters with the chain axis, [K, *shape], also if K = 1."""
        return {name: p.unsqueeze(0) if self.count == 1 else p for name, p in parameters.items()}

    def state_of(self, chain: int) -> State:
        """Return the parameters of one chain, without the chain axis."""
        return {n: p.detach() if self.count == 1 else p.detach()[chain] for n, p in self.parameters.items()}

    def copy_buffers(self) -> State:
        """Return a copy of the buffers, to be passed to a call that must not disturb the training state."""
        return {name: b.clone() for name, b in self.buffers.items()}

    @contextmanager
    def mode(self, training: bool, only: Callable[[nn.Module], bool] = lambda _: True) -> Any:
        """Put the modules chosen by `only` into training or evaluation mode; restore every module's mode afterwards."""
        before = {module: module.training for module in self.network.modules()}
        for module in before:
            if only(module):
                module.training = training
        try:
            yield
        finally:
            for module, was in before.items():
                module.training = was

    def state_dict(self) -> dict[str, State]:
        """Return parameters and buffers, with the chain axis if K > 1."""
        return {
            "parameters": {n: p.detach() for n, p in self.parameters.items()},
            "buffers": dict(self.buffers),
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, State]) -> None:
        """Copy a saved state into the tensors that the update rule refers to.

        Raises:
            ValueError: names or shapes differ: the state is that of another network.
        """
        for mine, saved in ((self.parameters, state["parameters"]), (self.buffers, state["buffers"])):
            if {n: t.shape for n, t in mine.items()} != {n: t.shape for n, t in saved.items()}:
                raise ValueError("the saved state is that of another network")
            for name, value in saved.items():
                mine[name].copy_(value)
