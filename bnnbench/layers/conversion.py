"""Conversion of plain networks to stochastic ones, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.errors import ConfigError
from bnnbench.layers.base import Prunable, StochasticLayer
from bnnbench.layers.network import kl
from bnnbench.layers.sparsity import Sparsity, sparsity

__all__ = ["Sparsity", "convert", "deconvert", "kl", "mean_weight", "sampling", "sparsity"]


def convert(
    network: nn.Module,
    make: Callable[[nn.Linear | nn.Conv2d], nn.Module],
    only: str | Sequence[str] | None = None,
) -> nn.Module:
    """Replace the Linear and Conv2d layers of `network` in place by ``make(layer)``, and return the network.

    The stochastic layers take over the plain layers' parameters: initialised or trained weights, their names and shared
    layers all stay. ``convert(network, functools.partial(Dropout, keep=0.8), only="fc1")`` and a second call for the
    rest give layers different options. If `network` is itself such a layer, its replacement is returned.

    Args:
        network: any nn.Module.
        make: maps a plain layer to its replacement; a class of this package or a partial of it.
        only: shell patterns of layer names as in ``network.named_modules()``, one or a list: ``fc*``, ``*.conv1``.
            A leading ``!`` excludes: ``!out`` is every layer but ``out``. Default: all layers.

    Raises:
        ConfigError: no layer matches, or none matches one of the patterns; one is inside an nn.MultiheadAttention, has
            a forward or hooks of its own, which its replacement would not have, or shares a parameter with another
            module: one random variable has one posterior.
    """
    patterns = [only] if isinstance(only, str) else list(only or ())
    plain = {
        name: module
        for name, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    chosen = {layer for name, layer in plain.items() if _matches(name, patterns)}
    idle = [p for p in patterns if not any(fnmatchcase(name, p.removeprefix("!")) for name in plain)]
    if chosen and idle:  # a misspelt exclusion would convert the layer it was to exclude
        raise ConfigError(f"method.layers.only: {', '.join(idle)} matches no layer. There are: {_listed(plain)}.")
    if not chosen:
        asked = f"method.layers.only={','.join(patterns)} matches none of them." if patterns else ""
        raise ConfigError(f"No layer to make stochastic. {asked} Linear and Conv2d layers: {_listed(plain)}.")
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention) and module.out_proj in chosen:
            # It reads the weight without calling the layer, so there would silently be no noise.
            raise ConfigError(f"{name}: the inside of nn.MultiheadAttention cannot be made stochastic. Exclude it.")
    names = {module: name for name, module in network.named_modules()}
    for layer in (layer for layer in dict.fromkeys(plain.values()) if layer in chosen):
        _check_plain(layer, names)
    return _replaced(network, {layer: make(layer) for layer in dict.fromkeys(plain.values()) if layer in chosen})


def _check_plain(layer: nn.Linear | nn.Conv2d, names: Mapping[nn.Module, str]) -> None:
    """Raise ConfigError if `layer` does more than the plain layer that its replacement stands for."""
    base: type[nn.Module] = nn.Linear if isinstance(layer, nn.Linear) else nn.Conv2d
    where = names[layer] or "the network"
    exclude = f"Exclude it: method.layers.only='!{names[layer]}'."
    for method in ("forward", "_conv_forward"):
        if getattr(type(layer), method, None) is not getattr(base, method, None) or method in vars(layer):
            kind = type(layer).__name__
            raise ConfigError(f"{where}: {kind} has a {method}() of its own, which would be lost. {exclude}")
    if layer._forward_pre_hooks or layer._forward_hooks:
        raise ConfigError(
            f"{where}: a {type(layer).__name__} with forward hooks (pruning?), which would be lost. {exclude}"
        )
    own = {id(parameter) for parameter in layer.parameters(recurse=False)}
    for other, name in names.items():
        if other is not layer and own & {id(parameter) for parameter in other.parameters(recurse=False)}:
            raise ConfigError(
                f"{where}: it shares a parameter with {name or 'the network'}; one weight cannot have two posteriors. "
                "Untie them, or exclude both (method.layers.only)."
            )


def _replaced(network: nn.Module, made: Mapping[nn.Module, nn.Module]) -> nn.Module:
    for parent in list(network.modules()):
        for name, child in parent._modules.items():  # not named_children(): a layer used twice is replaced twice
            if child is not None and child in made:
                parent._modules[name] = made[child]
    return made.get(network, network)


def mean_weight(layer: StochasticLayer) -> Tensor:
    """Return the mean weight of `layer`, with dropped weights at 0: the one it predicts with when it does not draw."""
    return torch.where(layer.kept(), layer.weight, 0.0) if isinstance(layer, Prunable) else layer.weight


@torch.no_grad()
def deconvert(network: nn.Module, weight_of: Callable[[StochasticLayer], Tensor] = mean_weight) -> nn.Module:
    """Replace the stochastic layers of `network` in place by nn.Linear and nn.Conv2d, and return the network.

    The reverse of `convert`: names, biases, shared layers and modes stay. The posterior is reduced to its mean, so in
    evaluation the outputs are the same to the bit, and in training there is no more noise. If `network` is itself such
    a layer, the plain one is returned. Only subclasses of `StochasticLayer` are replaced.

    Args:
        network: with stochastic layers.
        weight_of: maps a stochastic layer to the plain layer's weight, which is copied.
    """
    return _replaced(network, {m: _plain(m, weight_of(m)) for m in network.modules() if isinstance(m, StochasticLayer)})


def _plain(layer: StochasticLayer, weight: Tensor) -> nn.Linear | nn.Conv2d:
    settings: dict[str, Any] = {"bias": layer.bias is not None, "device": weight.device, "dtype": weight.dtype}
    if not layer.is_conv:
        plain: nn.Linear | nn.Conv2d = nn.utils.skip_init(nn.Linear, layer.in_units, len(weight), **settings)
    else:
        settings |= {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
        settings["padding"] = layer.padding
        if layer._pad is not None:  # width first: left, right, top, bottom
            (left, right, top, bottom), settings["padding_mode"] = layer._pad
            settings["padding"] = (top, left) if (left, top) == (right, bottom) else "same"
        plain = nn.utils.skip_init(nn.Conv2d, layer.in_units, len(weight), tuple(weight.shape[2:]), **settings)
    plain.weight.copy_(weight)
    if plain.bias is not None and layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain.train(layer.training)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    wanted = [p for p in patterns if not p.startswith("!")]
    unwanted = [p[1:] for p in patterns if p.startswith("!")]
    if any(fnmatchcase(name, p) for p in unwanted):
        return False
    return not wanted or any(fnmatchcase(name, p) for p in wanted)


def _listed(plain: Mapping[str, nn.Module]) -> str:
    return ", ".join(name or "(the network itself)" for name in plain) or "(none)"


@contextmanager
def sampling(network: nn.Module, sample: bool | None) -> Iterator[None]:
    """Set the attribute `sample` of every stochastic layer within a ``with`` block.

    True: draws in any mode, for Monte Carlo prediction. False: no draws. None: draws in training mode only.
    """
    before = {m: m.sample for m in network.modules() if isinstance(m, StochasticLayer)}
    try:
        for module in before:
            module.sample = sample
        yield
    finally:
        for module, was in before.items():
            module.sample = was
