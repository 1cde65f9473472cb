"""A method, put together from its yaml: the network with its layers and normalisation, and its update rule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from bnnbench.config import plugins
from bnnbench.config.schema import Method, RunConfig
from bnnbench.config.signatures import check_options
from bnnbench.config.user_code import called
from bnnbench.errors import ConfigError, did_you_mean
from bnnbench.inference.approximations.from_config import make_approximation
from bnnbench.inference.chains import Chains
from bnnbench.inference.potential import Potential
from bnnbench.inference.random import Noise, NoiseSource, derive_seed
from bnnbench.inference.spared_compiler import spare_compiler
from bnnbench.layers.from_config import RunPrior, check_layers, is_stochastic, make_stochastic
from bnnbench.layers.normalisation import add_normalisation
from bnnbench.models import build_network
from bnnbench.tasks.base import Task

# Filled in by the runner, or options that would turn a rule into another one: not for a method to set.
BURN_IN = "burn_in"  # of an option that counts steps: as many as precede the first member
SUPPLIED = {"params", "num_data", "weight_decay", "noise", "maximize", "decoupled_weight_decay", "differentiable"}
# torch's rules that are elementwise, as stacked chains require, and whose weight decay enters the gradient, as a
# Gaussian prior does. AdamW's does not; Adafactor and Muon use whole matrices; LBFGS makes line searches.
TORCH_RULES = {
    rule.__name__.lower(): rule
    for rule in (
        torch.optim.SGD,
        torch.optim.RMSprop,
        torch.optim.Adam,
        torch.optim.Adagrad,
        torch.optim.Adadelta,
        torch.optim.Adamax,
        torch.optim.NAdam,
        torch.optim.RAdam,
        torch.optim.ASGD,
        torch.optim.Rprop,
    )
}
spare_compiler(TORCH_RULES.values())


def optimizer_class(name: str) -> type[Optimizer]:
    """Return the optimiser class called `name`: a sampler of the package, the user's by its dotted name, or torch's.

    Raises:
        ConfigError: no such optimiser; a module of the user that does not define exactly one; a rule with a temperature
            that does not say whether it injects noise.
    """
    if "." not in name and name not in plugins.names("samplers"):
        if name not in TORCH_RULES:
            known = {*TORCH_RULES, *plugins.names("samplers")}
            raise ConfigError(
                f"method.optimizer.name={name}: no such update rule.{did_you_mean(name, known)} "
                "Your own goes by a dotted name: module or module.Class."
            )
        return TORCH_RULES[name]
    rule = plugins.find_class("samplers", name, Optimizer, where="method.optimizer.name")
    if not hasattr(rule, "injects_noise") and "temperature" in inspect.signature(rule).parameters:
        raise ConfigError(
            f"method.optimizer.name={name}: {rule.__name__} has a temperature, but does not say whether it injects "
            "noise.\nAdd a line to the class: injects_noise = True (or False, if it draws no samples)."
        )
    return rule


def injects_noise(rule: type[Optimizer]) -> bool:
    """Whether `rule` is a sampler: it declares that it injects noise, and has a temperature."""
    return bool(getattr(rule, "injects_noise", False))


def effective_temperature(method: Method, num_data: int) -> float | None:
    """Return T as a number, 1/N resolved; None for an optimiser."""
    if not injects_noise(optimizer_class(str(method.optimizer["name"]))):
        return None
    given = method.optimizer.get("temperature", 1.0)
    return 1 / num_data if given == "1/N" else float(given)


def check_method(method: Method, prior: RunPrior) -> None:
    """Check names, options, types and ranges of update rule and layers; no data are needed.

    Raises:
        ConfigError: one line saying what is wrong.
    """
    check_layers(method.layers, prior)
    if make_approximation(method.predictive).draws_from_layers and not is_stochastic(method.layers):
        raise ConfigError(
            f"method.predictive.name={method.predictive['name']}: deterministic layers have nothing to draw. "
            "Take method.predictive.name=point, or stochastic layers: method.layers.name=dropout, say."
        )
    if method.kl.full_from < method.kl.zero_until:
        raise ConfigError(
            f"method.kl.full_from={method.kl.full_from:g} comes before method.kl.zero_until={method.kl.zero_until:g}: "
            "the KL is 0 up to the latter and full from the former on."
        )
    options = dict(method.optimizer)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"method.optimizer.name={name}: give the name of an update rule, such as sgd or psgld.")
    rule = optimizer_class(name)
    if "weight_decay" in options:
        raise ConfigError("method.optimizer.weight_decay: the prior sets it, 1/(N s²). Take prior.variance=… instead.")
    lr = options.get("lr")
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < math.inf:
        raise ConfigError(f"method.optimizer.lr={lr}: the step size must be a number > 0.")
    if not 1e-37 < lr < 1e38:
        raise ConfigError(f"method.optimizer.lr={lr}: single precision holds 1e-37 to 1e38.")
    if options.get("temperature") == "1/N":
        options["temperature"] = 1.0
    if isinstance(given := options.get("v_adapt"), str) and given not in (BURN_IN, "always") and not given.isdecimal():
        hint = did_you_mean(given, (BURN_IN, "always"))
        raise ConfigError(f"method.optimizer.v_adapt={given}: input should be a whole number or a word.{hint}")
    if options.get("v_adapt") == BURN_IN:
        options["v_adapt"] = 2
    options = check_options(rule, options, supplied=SUPPLIED, where="method.optimizer")
    supplied = _accepted(rule, {"num_data": 1, "noise": Noise([0])})
    _made(rule, name, [nn.Parameter(torch.zeros(1))], options | supplied)  # it checks its own ranges


def build_chains(
    config: RunConfig,
    task: Task,
    prior: RunPrior,
    in_shape: tuple[int, ...],
    device: torch.device,
    start: Callable[[nn.Module], None] | None = None,
) -> Chains:
    """Return the K initialised networks, with the method's layers and the task's own parameters.

    Args:
        config: of the run.
        task: decides the width of the last layer.
        prior: for layers with a prior of their own.
        in_shape: of one input.
        device: where the networks live.
        start: called with each network in turn, while its layers are plain; gives it initial parameters.

    Raises:
        ConfigError: layers or normalisation that do not fit the network; see also `start`.
    """
    probed = False

    def build() -> nn.Module:
        nonlocal probed
        probe, probed = not probed, True
        return build_whole(config, task, prior, in_shape, start, probe=probe)

    chains = Chains(build, [derive_seed(config.seed, k, "init") for k in range(config.chains)], device)
    chains.probe(in_shape)
    return chains


def build_whole(
    config: RunConfig,
    task: Task,
    prior: RunPrior,
    in_shape: tuple[int, ...],
    start: Callable[[nn.Module], None] | None = None,
    *,
    probe: bool = False,
    tried: bool = True,
) -> nn.Module:
    """Return one network with the method's layers and the task's own parameters.

    Args:
        config, task, prior, in_shape, start: see `build_chains`.
        probe, tried: see `bnnbench.models.build_network`.
    """
    method = config.method
    plain = build_network(config.model, in_shape, task.outputs, probe=probe, tried=tried)
    network = add_normalisation(plain, method.norm)
    whole = task.wrap(network)
    if start is not None:  # before the layers are replaced: the initial α may depend on the weights
        start(whole)
    stochastic = make_stochastic(network, method.layers, prior)
    return whole if stochastic is network else task.wrap(stochastic)  # else the network was a single layer


def make_rule(method: Method, num_data: int) -> Callable[..., Optimizer]:
    """Return parameters → the method's update rule on them, without a prior and the run's noise."""
    rule = optimizer_class(str(method.optimizer["name"]))
    options = {k: v for k, v in method.optimizer.items() if k not in ("name", "temperature")}
    if "temperature" in method.optimizer:
        options["temperature"] = 1.0
    if options.get("v_adapt") == BURN_IN:
        options["v_adapt"] = 2
    options = check_options(rule, options, supplied=SUPPLIED, where="method.optimizer")
    return lambda parameters: rule(
        parameters, **options, **_accepted(rule, {"num_data": num_data, "noise": Noise([0])})
    )


def build_optimizer(
    config: RunConfig, potential: Potential, noise: NoiseSource, burn_in: int, steps_per_epoch: float
) -> Optimizer:
    """Return the method's update rule on the parameters of `potential`, with the prior as weight decay.

    Args:
        config: of the run.
        potential: gives the parameters.
        noise: of the run.
        burn_in: iterations before the first member.
        steps_per_epoch: N/B.

    Raises:
        ConfigError: the rule takes no weight decay, and so cannot carry the Gaussian prior; a value that only the size
            of the network or of the data shows to be wrong.
    """
    method = config.method
    rule = optimizer_class(str(method.optimizer["name"]))
    temperature = effective_temperature(method, potential.num_data)
    on = method.noise_on
    noise_on = {
        "weight",
        "likelihood",
        *(["bias"] if on.biases else []),
        *(["norm"] if on.norm else []),
    }  # never on variational ones
    groups = potential.groups(noise_on, temperature)
    if not groups:
        raise ConfigError(f"model.name={config.model['name']}: all its parameters are frozen; none is left to learn.")
    takes_decay = "weight_decay" in inspect.signature(rule).parameters
    decays = [] if takes_decay else [group.pop("weight_decay") for group in groups]
    if any(decays):
        raise ConfigError(
            f"method.optimizer.name={method.optimizer['name']} takes no weight decay. Take prior.name=flat."
        )
    options: dict[str, Any] = {k: v for k, v in method.optimizer.items() if k not in ("name", "temperature")}
    if temperature is not None:
        options["temperature"] = temperature
    if options.get("v_adapt") == BURN_IN:  # a V from less than an epoch knows nothing of rare inputs
        options["v_adapt"] = max(burn_in, math.ceil(2 * steps_per_epoch))
    options = check_options(rule, options, supplied=SUPPLIED, where="method.optimizer")
    supplied = _accepted(rule, {"num_data": potential.num_data, "noise": noise})
    return _made(rule, str(method.optimizer["name"]), groups, options | supplied)


def _made(rule: type[Optimizer], name: str, parameters: Any, options: Mapping[str, Any]) -> Optimizer:
    """Return the update rule on `parameters`.

    Raises:
        ConfigError: it refuses a value, some only on a network of this size; a rule of the user's that fails, or that
            has not let its base class take the parameters.
    """
    try:
        made = rule(parameters, **options)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"method.optimizer: {error}") from None
    except (Exception, SystemExit) as error:
        with called(f"method.optimizer.name={name}: {rule.__name__}()"):
            raise error
    if not isinstance(getattr(made, "param_groups", None), list) or not isinstance(getattr(made, "state", None), dict):
        raise ConfigError(
            f"method.optimizer.name={name}: {rule.__name__}() does not call super().__init__(params, defaults), by "
            "which an optimiser of torch takes its parameters."
        )
    return made


def _accepted(rule: type[Optimizer], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values` that the constructor of `rule` takes."""
    return {k: v for k, v in values.items() if k in inspect.signature(rule).parameters}
