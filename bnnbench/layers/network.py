"""The KL of a whole network, the kinds of its parameters, and which of them have their prior in a layer's KL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bnnbench.layers.base import HasKL
from bnnbench.layers.normalisation import NORMS


def layers_with_kl(network: nn.Module) -> Iterator[HasKL]:
    """Yield the modules of `network` that have a KL, each once."""
    for module in network.modules():
        if _has_kl(module):
            yield cast(HasKL, module)


def _has_kl(module: nn.Module) -> bool:
    # By its class, which Python caches: isinstance() would cost 2 % of a training step, seven modules at 10 µs each.
    return issubclass(type(module), HasKL)


def parameter_kinds(network: nn.Module) -> dict[str, str]:
    """Return parameter name → its kind. Names and order are those of ``network.named_parameters()``.

    norm: γ and β of a normalisation. variational: parameters of a layer with a KL beside weight and bias, such as
    log σ², log α or ρ; they belong to q, not to the network, and get neither prior nor sampler's noise. bias. weight:
    everything else.
    """
    kinds = {}
    for name, _ in network.named_parameters():
        owner, _, leaf = name.rpartition(".")
        module = network.get_submodule(owner)
        if isinstance(module, NORMS):
            kinds[name] = "norm"
        elif _has_kl(module) and leaf not in ("weight", "bias"):
            kinds[name] = "variational"
        else:
            kinds[name] = "bias" if leaf == "bias" else "weight"
    return kinds


def covered_by_kl(network: nn.Module) -> set[str]:
    """Return the names of the parameters whose prior is part of a layer's ``kl()``, so that no other is added.

    A layer names its own in ``kl_covers``; without this attribute all its parameters are covered.
    """
    names = set()
    for owner, module in network.named_modules():
        if _has_kl(module):
            own = {name for name, _ in module.named_parameters(recurse=False)}
            covered = own & set(getattr(module, "kl_covers", own))
            names |= {f"{owner}.{name}" if owner else name for name in covered}
    return names


def kl(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return the KL of the whole network in nats, a scalar: the SUM of ``kl()`` over all modules that have it, else 0.

    A layer that occurs twice counts once: it has one posterior. The objective divides by N, once:
    mean NLL + β KL / N.

    Args:
        network: any module; see `bnnbench.layers.base.HasKL`.
        state: parameters to use instead of the network's own. For K stacked networks
            ``torch.vmap(lambda p: kl(network, p), randomness="different")(parameters)`` is the KL of each, [K].
    """

    def read(network: nn.Module) -> Tensor:
        terms = [layer.kl() for layer in layers_with_kl(network)]
        return torch.stack(terms).sum() if terms else next(network.parameters()).new_zeros(())

    return with_state(network, state, read)


class _Read(nn.Module):
    """Calls `read` on a network, so that functional_call can substitute its parameters meanwhile."""

    def __init__(self, network: nn.Module, read: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.network, self.read = network, read

    def forward(self) -> Any:
        return self.read(self.network)


def with_state(network: nn.Module, state: Mapping[str, Tensor] | None, read: Callable[[nn.Module], Any]) -> Any:
    """Return ``read(network)``, with the parameters in `state`, if given, instead of the network's own."""
    if state is None:
        return read(network)
    return functional_call(_Read(network, read), {f"network.{name}": t for name, t in state.items()}, ())
