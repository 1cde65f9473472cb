"""From the configuration's `prior` to a prior."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bnnbench.config import plugins
from bnnbench.config.signatures import check_options
from bnnbench.errors import ConfigError
from bnnbench.priors.base import Prior


@dataclass(frozen=True)
class _On:
    """Which kinds of parameters have the prior, beside the weights."""

    biases: bool
    norm: bool


def kinds_with_prior(section: Mapping[str, Any]) -> set[str]:
    """Return the kinds of parameters that have the prior: weight, and bias and norm if ``biases`` and ``norm`` say so.

    Raises:
        ConfigError: one of them is missing or no boolean.
    """
    on = _On(**check_options(_On, {key: section[key] for key in ("biases", "norm") if key in section}, where="prior"))
    return {"weight", *(["bias"] if on.biases else []), *(["norm"] if on.norm else [])}


def make_prior(section: Mapping[str, Any]) -> Prior:
    """Return the prior that `section` describes.

    Args:
        section: ``name``; ``biases`` and ``norm``, see `kinds_with_prior`; ``variance``, which every configuration
            has, for a prior that takes it; and the prior's own options.

    Raises:
        ConfigError: no such prior; an unknown option, a wrong type, a value out of range.
    """
    options = {key: value for key, value in section.items() if key not in ("biases", "norm")}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"prior.name={name}: give one of {', '.join(plugins.class_names('priors', Prior))}.")
    cls = plugins.find_class("priors", name, Prior, where="prior.name")
    if "variance" not in inspect.signature(cls).parameters:
        options.pop("variance", None)
    try:
        return cls(**check_options(cls, options, where="prior"))
    except ValueError as error:
        raise ConfigError(f"prior: {error}") from None
