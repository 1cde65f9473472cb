"""A sampler as the command line describes it: its class and options, made anew for every target."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from bnnbench.config.plugins import names
from bnnbench.config.signatures import check_options
from bnnbench.config.user_code import called
from bnnbench.errors import ConfigError, did_you_mean
from bnnbench.inference.method import BURN_IN, SUPPLIED, injects_noise, optimizer_class
from bnnbench.inference.random import NoiseSource

BY_TARGET = ("name", "lr", "temperature")  # of method.optimizer: a target's own, not a network's


@dataclass(frozen=True)
class Sampler:
    """A sampler and the options that it has on every target.

    Attributes:
        name: as typed: psgld, or the dotted name of the user's own.
        options: of the constructor, without step size and temperature.
        lr: the step size η on every target; None, one that suits it.
        temperature: T; None, a grid.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    lr: float | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        """Check name and options.

        Raises:
            ConfigError: no such rule, an optimiser that draws no samples, a wrong option.
        """
        rule = optimizer_class(self.name)
        if not injects_noise(rule):
            samplers = [name for name in names("samplers") if injects_noise(optimizer_class(name))]
            raise ConfigError(
                f"method.optimizer.name={self.name}: an optimiser, which draws no samples: there is no law to check."
                f"{did_you_mean(self.name, samplers)}"
            )
        check_options(rule, {"lr": 1.0, **self._options(2)}, supplied=SUPPLIED, where="method.optimizer")

    @property
    def adapts(self) -> bool:
        """Whether the first steps of a chain prepare the later ones."""
        return self.options.get("v_adapt") == BURN_IN

    @property
    def has_prior(self) -> bool:
        """Whether it takes a Gaussian prior as weight decay."""
        return "weight_decay" in inspect.signature(optimizer_class(self.name)).parameters

    def make(
        self,
        theta: nn.Parameter,
        *,
        lr: float,
        num_data: int,
        temperature: float,
        weight_decay: float,
        noise: NoiseSource,
        adapt: int,
    ) -> Optimizer:
        """Return the rule on θ, as a run would make it.

        Args:
            theta: [K, d].
            lr: η.
            num_data: N.
            temperature: T.
            weight_decay: 1/(N s²).
            noise: of the K chains.
            adapt: the steps in which it may adapt, at least 2.

        Raises:
            ConfigError: it refuses a value, or is code of the user's that fails.
        """
        rule = optimizer_class(self.name)
        accepted = inspect.signature(rule).parameters
        supplied = {"num_data": num_data, "noise": noise, "temperature": temperature, "weight_decay": weight_decay}
        known = {key: value for key, value in supplied.items() if key in accepted}
        options = check_options(rule, {"lr": lr, **self._options(adapt)}, supplied=SUPPLIED, where="method.optimizer")
        try:
            return rule([theta], **{**options, **known})
        except (ValueError, TypeError) as error:
            raise ConfigError(f"method.optimizer: {error}") from None
        except Exception as error:
            with called(f"method.optimizer.name={self.name}: {rule.__name__}()"):
                raise error

    def _options(self, adapt: int) -> dict[str, Any]:
        return {key: adapt if value == BURN_IN else value for key, value in self.options.items()}


def passes(optimizer: Optimizer, chains: int) -> float:
    """Return the gradients of one step of one chain."""
    count = int(getattr(optimizer, "backward_passes", 1))
    return 1 + (count - 1) / chains if getattr(optimizer, "per_element", False) else count


def from_configuration(raw: Mapping[str, Any], given: Sequence[str]) -> Sampler:
    """Return the sampler of a resolved configuration.

    Args:
        raw: see `bnnbench.config.composition.compose`.
        given: keys that were typed; step size and temperature count if they were.

    Raises:
        ConfigError: what is configured is no sampler.
    """
    optimizer = dict(raw["method"]["optimizer"])
    options = {key: value for key, value in optimizer.items() if key not in BY_TARGET}
    lr: Any = optimizer.get("lr")
    temperature: Any = optimizer.get("temperature")
    hot = {"temperature", "method.optimizer.temperature"} & set(given)
    if hot and not _is_number(temperature, least=0.0):
        raise ConfigError(f"temperature={temperature}: here it should be a number >= 0; N is another on every target.")
    if "method.optimizer.lr" in given and not (_is_number(lr, least=0.0) and lr):
        raise ConfigError(f"method.optimizer.lr={lr}: the step size must be a number > 0.")
    return Sampler(
        str(optimizer["name"]),
        options,
        lr=float(lr) if "method.optimizer.lr" in given else None,
        temperature=float(temperature) if hot else None,
    )


def _is_number(value: Any, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < float("inf")
