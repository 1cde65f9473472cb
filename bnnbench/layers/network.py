"""The KL of a whole network, the kinds of its parameters, and which of them have their prior in a layer's KL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bnnbench.errors import ConfigError
from bnnbench.layers.base import HasKL
from bnnbench.layers.normalisation import NORMS


def layers_with_kl(network: nn.Module) -> Iterator[HasKL]:
    """Yield the modules of `network` that have a KL, each once; none that lies within another one.

    The ``kl()`` of a module speaks for all that it contains, as that of a network which sums its layers' does.
    """
    for _, module in _named_with_kl(network):
        yield cast(HasKL, module)


def _named_with_kl(
    module: nn.Module, name: str = "", seen: set[nn.Module] | None = None
) -> Iterator[tuple[str, nn.Module]]:
    seen = set() if seen is None else seen
    if module in seen:
        return
    seen.add(module)
    if _has_kl(module):
        yield name, module
        return
    for leaf, child in module.named_children():
        yield from _named_with_kl(child, f"{name}.{leaf}" if name else leaf, seen)


def _has_kl(module: nn.Module) -> bool:
    # By its class, which Python caches: isinstance() would cost 2 % of a training step, seven modules at 10 µs each.
    return issubclass(type(module), HasKL)


def parameter_kinds(network: nn.Module) -> dict[str, str]:
    """Return parameter name → its kind. Names and order are those of ``network.named_parameters()``.

    norm: γ and β of a normalisation. variational: parameters of a layer with a KL beside weight and bias, such as
    log σ², log α or ρ; they belong to q, not to the network, and get neither prior nor sampler's noise. likelihood:
    the task's own, such as a noise level; see `bnnbench.tasks.base.Task.wrap`. bias. weight: everything else.
    """
    kinds = {}
    within = [f"{name}." if name else "" for name, _ in _named_with_kl(network)]
    for name, _ in network.named_parameters():
        owner, _, leaf = name.rpartition(".")
        module = network.get_submodule(owner)
        if isinstance(module, NORMS):
            kinds[name] = "norm"
        elif leaf in getattr(module, "likelihood_std", ()):
            kinds[name] = "likelihood"
        elif leaf not in ("weight", "bias") and any(name.startswith(prefix) for prefix in within):
            kinds[name] = "variational"
        else:
            kinds[name] = "bias" if leaf == "bias" else "weight"
    return kinds


def covered_by_kl(network: nn.Module) -> set[str]:
    """Return the names of the parameters whose prior is part of a layer's ``kl()``, so that no other is added.

    A layer names them in ``kl_covers``. Without this attribute all the parameters in it are covered; but where it
    contains layers that have a KL themselves, only its own and what those cover.
    """
    return {
        f"{owner}.{name}" if owner else name for owner, module in _named_with_kl(network) for name in _covered(module)
    }


def _covered(module: nn.Module) -> set[str]:
    """Return the names of the parameters in `module`, which has a KL, whose prior is part of it."""
    everything = {name for name, _ in module.named_parameters()}
    named: Iterable[str] | None = getattr(module, "kl_covers", None)
    if named is not None:
        return everything & set(named)
    seen: set[nn.Module] = set()
    within = [pair for leaf, child in module.named_children() for pair in _named_with_kl(child, leaf, seen)]
    if not within:
        return everything
    own = {name for name, _ in module.named_parameters(recurse=False)}
    return own | {f"{owner}.{name}" for owner, inner in within for name in _covered(inner)}


def likelihood_std(network: nn.Module) -> dict[str, float]:
    """Return the names of the parameters of kind ``likelihood`` → s of their prior N(0, s²)."""
    return {
        f"{owner}.{leaf}" if owner else leaf: float(std)
        for owner, module in network.named_modules()
        for leaf, std in getattr(module, "likelihood_std", {}).items()
    }


def kl(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return the KL of the whole network in nats, a scalar: the SUM of ``kl()`` over `layers_with_kl`, else 0.

    A layer that occurs twice counts once: it has one posterior. The objective divides by N, once:
    mean NLL + β KL / N.

    Args:
        network: any module; see `bnnbench.layers.base.HasKL`.
        state: parameters to use instead of the network's own. For K stacked networks
            ``torch.vmap(lambda p: kl(network, p), randomness="different")(parameters)`` is the KL of each, [K].
    """

    def read(network: nn.Module) -> Tensor:
        terms = [_scalar(layer.kl(), cast(nn.Module, layer)) for layer in layers_with_kl(network)]
        return torch.stack(terms).sum() if terms else next(network.parameters()).new_zeros(())

    return with_state(network, state, read)


def _scalar(value: Any, layer: nn.Module) -> Tensor:
    """Return what a layer's ``kl()`` gave, once it is sure to be one number."""
    if not isinstance(value, Tensor) or value.ndim:
        given = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ConfigError(f"{type(layer).__module__}.{type(layer).__qualname__}.kl() returned {given}, not a scalar.")
    return value


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
