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

__all__ = ["build_network", "check_model", "initialise"]


def build_network(model: Mapping[str, Any], in_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the network that `model` (a file of ``conf/model/``) describes, initialised.

    Args:
        model: ``name``, ``label`` (unused here), ``init`` (default ``torch``) and the architecture's own options.
        in_shape: shape of one input, without the batch.
        outputs: width of the last layer; the network maps [batch, *in_shape] to [batch, outputs].

    The numbers come from torch's global generator: seed it first.

    Raises:
        ConfigError: see `check_model`; also an input that this architecture cannot take.
    """
    build, options, scheme = _resolve(model)
    with called(f"model.name={model['name']}: build()"):
        network = build(tuple(in_shape), outputs, **options)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model.name={model['name']}: build() returned a {type(network).__name__}, not an nn.Module.")
    _check_outputs(network, tuple(in_shape), outputs, str(model["name"]))
    initialise(network, scheme)
    return network


@torch.no_grad()
def _check_outputs(network: nn.Module, in_shape: tuple[int, ...], outputs: int, name: str) -> None:
    """Pass two inputs of zeros through `network`, in evaluation mode, and look at what comes out.

    A network that is too wide would train all the same, and share its probabilities among classes that do not exist.

    Raises:
        ConfigError: it fails, or its outputs are not [2, outputs] floating-point numbers.
    """
    modes = {module: module.training for module in network.modules()}
    x = torch.zeros(2, *in_shape)  # in single precision, as data are
    try:
        with torch.random.fork_rng(devices=[]):  # it may draw, whatever its mode
            y = network.eval()(x)
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"model.name={name}: its network fails on inputs {list(x.shape)}: {type(error).__name__}: {said}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    if not isinstance(y, torch.Tensor) or y.shape != (2, outputs) or not y.is_floating_point():
        found = (
            f"{str(y.dtype).removeprefix('torch.')} {list(y.shape)}"
            if isinstance(y, torch.Tensor)
            else type(y).__name__
        )
        raise ConfigError(
            f"model.name={name}: its network maps inputs {list(x.shape)} to {found}. "
            f"It must return floating-point outputs [2, {outputs}]: build(in_shape, outputs) says how many."
        )


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
