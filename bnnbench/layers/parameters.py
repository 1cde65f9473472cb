"""What a network's parameters are: which kind each one is of, and which have their prior in a layer's KL."""

from __future__ import annotations

from torch import nn

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
