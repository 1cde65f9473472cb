"""Plain networks, one architecture per file, written without any thought of Bayes.

A model's file has one function ``build(in_shape, outputs, *, <options>) -> nn.Module``; the options' names, types and
ranges are read off its signature. `in_shape` is the shape of one input without the batch, e.g. ``(1, 28, 28)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from bnnbench.config import plugins
from bnnbench.config.signatures import check_options
from bnnbench.config.user_code import called
from bnnbench.errors import ConfigError
from bnnbench.models._init import check_scheme, initialise
from bnnbench.models._probe import check_build, check_conduct, check_graph, check_outputs

__all__ = ["build_network", "check_model", "initialise"]


def build_network(
    model: Mapping[str, Any], in_shape: tuple[int, ...], outputs: int, *, probe: bool = False, tried: bool = True
) -> nn.Module:
    """Return the network that `model` (a file of ``conf/model/``) describes, initialised.

    Args:
        model: ``name``, ``label`` (unused here), ``init`` (default ``torch``) and the architecture's own options.
        in_shape: shape of one input, without the batch.
        outputs: width of the last layer; the network maps [batch, *in_shape] to [batch, outputs].
        probe: whether to try out what a run takes for granted of a network of the user's own.
        tried: whether to pass inputs through it at all.

    The numbers come from torch's global generator: seed it first.

    Raises:
        ConfigError: see `check_model`; also an input that this architecture cannot take.
    """
    build, options, scheme = _resolve(model)
    state = torch.get_rng_state()
    network = _built(build, tuple(in_shape), outputs, options, str(model["name"]))
    if tried:
        check_outputs(network, tuple(in_shape), outputs, str(model["name"]))
    if probe and "." in model["name"]:
        check_conduct(network, tuple(in_shape), str(model["name"]))
        check_graph(network, tuple(in_shape), str(model["name"]))
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            again = _built(build, tuple(in_shape), outputs, options, str(model["name"]))
            check_outputs(again, tuple(in_shape), outputs, str(model["name"]))  # lazy layers have their shape from it
        check_build(again, network, str(model["name"]))
    initialise(network, scheme)
    return network


def _built(
    build: Callable[..., nn.Module], in_shape: tuple[int, ...], outputs: int, options: dict[str, Any], name: str
) -> nn.Module:
    try:
        with called(f"model.name={name}: build()"):
            network = build(in_shape, outputs, **options)
    except (OverflowError, RuntimeError, TypeError) as error:  # sizes beyond what torch counts or holds
        said = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"model.name={name}: it cannot be built with these options: {said}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model.name={name}: build() returned a {type(network).__name__}, not an nn.Module.")
    return network


def check_model(model: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unknown name, option, type, range or scheme of initialisation; build nothing."""
    _resolve(model)


def _resolve(model: Mapping[str, Any]) -> tuple[Callable[..., nn.Module], dict[str, Any], str]:
    options = dict(model)
    name, scheme = options.pop("name", None), options.pop("init", "torch")
    options.pop("label", None)
    if not isinstance(name, str):
        raise ConfigError(f"model.name={name}: give the name of an architecture: {', '.join(plugins.names('models'))}.")
    build = plugins.function("models", name, "build", takes=("in_shape", "outputs"))
    options = check_options(build, options, supplied=("in_shape", "outputs"), where="model")
    check_scheme(scheme)
    return build, options, scheme
