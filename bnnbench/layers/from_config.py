"""Conversion of a network by the configuration's `method.layers`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from bnnbench.config import plugins
from bnnbench.config.signatures import check_options
from bnnbench.errors import ConfigError, did_you_mean
from bnnbench.layers.base import StochasticLayer
from bnnbench.layers.conversion import convert

Layer = Callable[..., nn.Module]
DETERMINISTIC = "deterministic"
# Settings of the conversion; everything else in method.layers is an option of the layer.
ABOUT_THE_NETWORK = ("name", "only", "input")


class RunPrior(NamedTuple):
    """What layers take over of the prior of the run.

    Attributes:
        name: of the prior, for messages.
        std: s of a Gaussian prior N(0, s²); None of any other.
        biases: whether biases have it.
    """

    name: str
    std: float | None
    biases: bool


def is_stochastic(layers: Mapping[str, Any]) -> bool:
    """Return whether `method.layers` replaces any of the plain layers."""
    return layers["name"] != DETERMINISTIC


def layer_names() -> list[str]:
    """Return the values of ``method.layers.name``: ``deterministic`` and the files that define a layer."""
    return [
        DETERMINISTIC,
        *(
            name
            for name in plugins.names("layers")
            if plugins.classes_in(plugins.find("layers", name), StochasticLayer)
        ),
    ]


def layer_classes() -> dict[str, type[StochasticLayer]]:
    """Return class name → class of the package's own layers."""
    modules = [plugins.find("layers", name) for name in plugins.names("layers")]
    return {layer.__name__: layer for module in modules for layer in plugins.classes_in(module, StochasticLayer)}


def find_layer(name: str) -> Layer:
    """Return the layer class called `name`: that of a file of ``layers/``, or the user's by a dotted name.

    Raises:
        ConfigError: no such layer; a dotted name that is no subclass of `StochasticLayer`.
    """
    if "." not in name and name not in layer_names():
        raise ConfigError(
            f"method.layers.name={name}: no such layer.{did_you_mean(name, layer_names())} "
            "Your own goes by a dotted name: module or module.Class."
        )
    return plugins.find_class("layers", name, StochasticLayer, where="method.layers.name")


def check_layers(layers: Mapping[str, Any], prior: RunPrior) -> None:
    """Check name, options, types and ranges of ``method.layers``, without a network.

    Raises:
        ConfigError: the first setting that is wrong, in one line.
    """
    _resolve(layers, prior)


def make_stochastic(network: nn.Module, layers: Mapping[str, Any], prior: RunPrior) -> nn.Module:
    """Replace layers of `network` in place, as `layers` specifies, and return it.

    Args:
        network: plain, with its normalisation.
        layers: ``name``; ``only``, patterns of the names of the layers to replace (null: all); ``input``, options of
            the network's first Linear or Conv2d that override the others; and the layer's own options.
        prior: p(θ) of the run. Its variance is that of a layer with a Gaussian prior.

    Raises:
        ConfigError: see `check_layers`; also patterns that match no layer.
    """
    if not is_stochastic(layers):
        return network
    make, options, first_options = _resolve(layers, prior)
    first = next((m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
    return convert(network, lambda layer: make(layer, **(first_options if layer is first else options)), _only(layers))


def _only(layers: Mapping[str, Any]) -> list[str]:
    only = layers.get("only")
    if only == []:
        raise ConfigError("method.layers.only=[]: no layer would be replaced. Give patterns, or null for all layers.")
    patterns = [only] if isinstance(only, str) else only or []
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise ConfigError(
            f"method.layers.only={only}: give a pattern or a list of them, such as [fc1,fc2] or ['!out'], or null."
        )
    return patterns


def _resolve(layers: Mapping[str, Any], prior: RunPrior) -> tuple[Layer, dict[str, Any], dict[str, Any]]:
    """Return the layer's class, its options, and those of the network's first layer."""
    name, first = layers.get("name"), layers.get("input") or {}
    if not isinstance(name, str):
        raise ConfigError(f"method.layers.name={name}: give the name of a layer: {', '.join(layer_names())}.")
    if not isinstance(first, Mapping):
        raise ConfigError(f"method.layers.input={first}: give options of the first layer, such as {{keep: 0.8}}.")
    _only(layers)
    options = {k: v for k, v in layers.items() if k not in ABOUT_THE_NETWORK}
    if name == DETERMINISTIC:
        if options or first or layers.get("only"):
            raise ConfigError(
                f"method.layers.name={DETERMINISTIC} takes no options, got {', '.join([*options, *first]) or 'only'}. "
                f"Name a stochastic layer: {', '.join(layer_names()[1:])}."
            )
        return nn.Identity, {}, {}
    make = find_layer(name)
    return (
        make,
        _checked(make, options, prior, "method.layers"),
        _checked(make, {**options, **first}, prior, "method.layers.input" if first else "method.layers"),
    )


def _checked(make: Layer, options: dict[str, Any], prior: RunPrior, where: str) -> dict[str, Any]:
    options = check_options(make, options, supplied=("layer", "sample"), where=where)
    if "random_bias" in inspect.signature(make).parameters:
        options.setdefault("random_bias", prior.biases)
    if "prior_std" in inspect.signature(make).parameters and "prior_std" not in options:
        if prior.std is not None:
            options["prior_std"] = prior.std
        elif options.get("prior") != "mixture":
            raise ConfigError(
                f"prior.name={prior.name}: these layers have a Gaussian prior of their own. "
                f"Take prior.name=gaussian or give +{where}.prior_std=…"
            )
    try:  # the layers check their own ranges when they are made
        make(nn.Linear(1, 1), **options)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from None
    return options
