"""Read off a network its KL, the kinds of its parameters, and which of them have their prior in a layer's KL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bnnbench.layers.normalisation import NORMS


def parameter_kinds(network: nn.Module) -> dict[str, str]:
    """Return parameter name → its kind. Names and order are those of ``network.named_parameters()``.

    norm: γ and β of a normalisation. variational: what a layer with a KL has beside weight and bias, as log σ², log α
    or ρ: a parameter of q, not of the network, with neither prior nor sampler's noise. bias. weight: everything else.
    """
    kinds = {}
    for name, _ in network.named_parameters():
        owner, _, leaf = name.rpartition(".")
        module = network.get_submodule(owner)
        if isinstance(module, NORMS):
            kinds[name] = "norm"
        elif callable(getattr(module, "kl", None)) and leaf not in ("weight", "bias"):
            kinds[name] = "variational"
        else:
            kinds[name] = "bias" if leaf == "bias" else "weight"
    return kinds


def covered_by_kl(network: nn.Module) -> set[str]:
    """Return the names of the parameters whose prior is part of a layer's ``kl()``, so that no other must be added.

    A layer says which in ``kl_covers``, a collection of its own parameters' names; without it all of them are meant.
    """
    names = set()
    for owner, module in network.named_modules():
        if callable(getattr(module, "kl", None)):
            own = {name for name, _ in module.named_parameters(recurse=False)}
            covered = own & set(getattr(module, "kl_covers", own))
            names |= {f"{owner}.{name}" if owner else name for name in covered}
    return names


def kl(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return the KL of the whole network in nats: the SUM of ``kl()`` over all modules that have it, else 0.

    A layer that occurs twice counts once: it has one posterior. The objective divides by N, once:
    mean NLL + β KL / N.

    Args:
        network: with layers of this package or of others, whose ``kl()`` takes no argument.
        state: parameters to use in place of the network's own. For K stacked networks
            ``torch.vmap(lambda p: kl(network, p), randomness="different")(parameters)`` is the KL of each, [K].
    """

    def read(network: nn.Module) -> Tensor:
        terms = [m.kl() for m in network.modules() if callable(getattr(m, "kl", None))]
        return torch.stack(terms).sum() if terms else next(network.parameters()).new_zeros(())

    return with_state(network, state, read)


class _Read(nn.Module):
    """Calls `read` on a network, so that functional_call can put other parameters into it meanwhile."""

    def __init__(self, network: nn.Module, read: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.network, self.read = network, read

    def forward(self) -> Any:
        return self.read(self.network)


def with_state(network: nn.Module, state: Mapping[str, Tensor] | None, read: Callable[[nn.Module], Any]) -> Any:
    """Return ``read(network)``, with the parameters of `state` in place of the network's own where it is given."""
    if state is None:
        return read(network)
    return functional_call(_Read(network, read), {f"network.{name}": t for name, t in state.items()}, ())
