"""Make a plain network stochastic by replacing its layers, and back; read off a network its KL and its sparsity."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bnnbench.errors import ConfigError
from bnnbench.layers._affine import Affine

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def convert(
    network: nn.Module,
    make: Callable[[nn.Linear | nn.Conv2d], nn.Module],
    only: str | Sequence[str] | None = None,
) -> nn.Module:
    """Replace the Linear and Conv2d layers of `network` in place by ``make(layer)``, and return the network.

    The stochastic layers take the plain layer's parameters over, so that initialised or trained weights, their names
    and shared layers all stay. ``convert(network, functools.partial(Dropout, p=0.8), only="fc1")`` and a second call
    for the rest give layers different options. If `network` is itself such a layer, the new one is returned.

    Args:
        network: any nn.Module.
        make: from a plain layer its replacement; a class of this package or a partial of it.
        only: shell patterns of layer names as in ``network.named_modules()``, one or a list: ``fc*``, ``*.conv1``.
            A leading ``!`` excludes: ``!out`` is every layer but ``out``. Default: all layers.

    Raises:
        ConfigError: no layer matches, or none matches one of the patterns; one is inside an nn.MultiheadAttention.
    """
    patterns = [only] if isinstance(only, str) else list(only or ())
    plain = {
        name: module
        for name, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    chosen = {layer for name, layer in plain.items() if _matches(name, patterns)}
    idle = [p for p in patterns if not any(fnmatchcase(name, p.removeprefix("!")) for name in plain)]
    if chosen and idle:  # a misspelt exclusion would convert what was to be left alone
        raise ConfigError(f"method.layers.only: {', '.join(idle)} matches no layer. There are: {_listed(plain)}.")
    if not chosen:
        asked = f"method.layers.only={','.join(patterns)} matches none of them." if patterns else ""
        raise ConfigError(f"No layer to make stochastic. {asked} Linear and Conv2d layers: {_listed(plain)}.")
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention) and module.out_proj in chosen:
            # It reads the weight without calling the layer: there would be no noise, and nothing would say so.
            raise ConfigError(f"{name}: the inside of nn.MultiheadAttention cannot be made stochastic. Exclude it.")
    return _replaced(network, {layer: make(layer) for layer in dict.fromkeys(plain.values()) if layer in chosen})


def _replaced(network: nn.Module, made: Mapping[nn.Module, nn.Module]) -> nn.Module:
    for parent in list(network.modules()):
        for name, child in parent._modules.items():  # not named_children(): a layer used twice is replaced twice
            if child in made:
                parent._modules[name] = made[child]
    return made.get(network, network)


def mean_weight(layer: Affine) -> Tensor:
    """Return the weight that `layer` predicts with when it does not draw: its mean, 0 where it is dropped."""
    return torch.where(layer.kept(), layer.weight, 0.0) if hasattr(layer, "kept") else layer.weight


@torch.no_grad()
def deconvert(network: nn.Module, weight_of: Callable[[Affine], Tensor] = mean_weight) -> nn.Module:
    """Replace the stochastic layers of `network` in place by nn.Linear and nn.Conv2d, and return the network.

    The reverse of `convert`: names, biases, shared layers and modes stay. What a posterior has beside its mean (α, σ)
    is gone, so in evaluation the outputs are the same to the bit, and in training there is no noise any more. If
    `network` is itself such a layer, the plain one is returned. Layers of other packages stay as they are.

    Args:
        network: with layers of this package, or of yours that are derived from `Affine`.
        weight_of: from a stochastic layer the plain layer's weight, which is copied.
    """
    return _replaced(network, {m: _plain(m, weight_of(m)) for m in network.modules() if isinstance(m, Affine)})


def _plain(layer: Affine, weight: Tensor) -> nn.Linear | nn.Conv2d:
    settings: dict[str, Any] = {"bias": layer.bias is not None, "device": weight.device, "dtype": weight.dtype}
    if not layer.is_conv:
        plain: nn.Linear | nn.Conv2d = nn.utils.skip_init(nn.Linear, layer.units, len(weight), **settings)
    else:
        settings |= {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
        settings["padding"] = layer.padding
        if layer._pad is not None:  # by width first: left, right, top, bottom
            (left, right, top, bottom), settings["padding_mode"] = layer._pad
            settings["padding"] = (top, left) if (left, top) == (right, bottom) else "same"
        plain = nn.utils.skip_init(nn.Conv2d, layer.units, len(weight), tuple(weight.shape[2:]), **settings)
    plain.weight.copy_(weight)
    if layer.bias is not None:
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
    """Set the switch `sample` of every stochastic layer for the time of a ``with`` block.

    True: draws whatever the mode, for Monte Carlo prediction. False: no draws. None: draws in training mode only.
    """
    before = {m: m.sample for m in network.modules() if isinstance(m, Affine)}
    try:
        for module in before:
            module.sample = sample
        yield
    finally:
        for module, was in before.items():
            module.sample = was


class _Read(nn.Module):
    """Calls `read` on a network, so that functional_call can put other parameters into it meanwhile."""

    def __init__(self, network: nn.Module, read: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.network, self.read = network, read

    def forward(self) -> Any:
        return self.read(self.network)


def _with_state(network: nn.Module, state: Mapping[str, Tensor] | None, read: Callable[[nn.Module], Any]) -> Any:
    if state is None:
        return read(network)
    return functional_call(_Read(network, read), {f"network.{name}": t for name, t in state.items()}, ())


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

    return _with_state(network, state, read)


@dataclass(frozen=True)
class Sparsity:
    """How many weights (biases do not count) are left, and how α is distributed.

    Attributes:
        weights: |w|, how many there are.
        kept: |w ≠ 0|, how many are not dropped.
        log_alpha: quantile level → log α, each weight counting once; empty for a layer without α.
    """

    weights: int
    kept: int
    log_alpha: dict[float, float] = field(default_factory=dict)

    @property
    def dropped(self) -> float:
        """Fraction of the weights that are dropped, 0 to 1."""
        return (self.weights - self.kept) / self.weights

    @property
    def compression(self) -> float:
        """|w| / |w ≠ 0|; infinite if nothing is left."""
        return self.weights / self.kept if self.kept else math.inf


@torch.no_grad()
def fraction_dropped(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> float | None:
    """Return the fraction of all dense and convolutional weights that are dropped; None if no layer drops any.

    Args:
        network: its layers that drop weights say which are left by ``kept()``.
        state: parameters to use in place of the network's own.
    """

    def read(network: nn.Module) -> float | None:
        weights, dropped, drops = 0, 0, False
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | Affine):
                weights += module.weight.numel()
            if hasattr(module, "kept"):
                drops, dropped = True, dropped + int((~module.kept()).sum())
        return dropped / weights if drops else None

    return _with_state(network, state, read)


@torch.no_grad()
def sparsity(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> tuple[Sparsity, dict[str, Sparsity]]:
    """Return the sparsity of the whole network, and layer name → that of the layer.

    All dense and convolutional layers count, those without dropped weights as fully kept.

    Args:
        network: at least one of its layers has an α (variational dropout, sparse or not, or mean-field), or drops
            weights by a rule of its own.
        state: parameters to use in place of the network's own, e.g. one chain's.

    Raises:
        ConfigError: no layer has an α.
    """

    def read(network: nn.Module) -> tuple[Sparsity, dict[str, Sparsity]]:
        layers: dict[str, Sparsity] = {}
        alphas: list[Tensor] = []
        for name, module in network.named_modules():
            if not isinstance(module, nn.Linear | nn.Conv2d | Affine):
                continue
            count = module.weight.numel()
            kept = int(module.kept().sum()) if hasattr(module, "kept") else count
            alpha = torch.empty(0)
            if hasattr(module, "current_log_alpha"):
                alpha = module.current_log_alpha().flatten().double()
                alpha = alpha.repeat_interleave(count // len(alpha))  # an α shared by weights counts for each
                alphas.append(alpha)
            layers[name] = Sparsity(count, kept, _quantiles(alpha))
        if not (alphas or any(hasattr(m, "kept") for m in network.modules())):
            raise ConfigError("No layer has an α: sparsity needs method.layers.name=sparse_vd, vd or mean_field.")
        total = Sparsity(
            sum(s.weights for s in layers.values()),
            sum(s.kept for s in layers.values()),
            _quantiles(torch.cat(alphas) if alphas else torch.empty(0)),
        )
        return total, layers

    return _with_state(network, state, read)


def _quantiles(values: Tensor) -> dict[float, float]:
    """Return the nearest-rank quantiles. (torch.quantile refuses more than 16 million values.)"""
    if not len(values):
        return {}
    ordered = values.sort().values
    return {level: ordered[round(level * (len(ordered) - 1))].item() for level in QUANTILES}
