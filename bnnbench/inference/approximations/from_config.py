"""From the configuration's `method.predictive` to an approximation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bnnbench.config import plugins
from bnnbench.config.signatures import check_options
from bnnbench.errors import ConfigError
from bnnbench.inference.approximations.base import Approximation

FOLDER = "inference/approximations"


def make_approximation(section: Mapping[str, Any]) -> Approximation:
    """Return the approximation that `section`, a name and its options, describes.

    Raises:
        ConfigError: no such approximation; an unknown option, a wrong type, a value out of range.
    """
    options = dict(section)
    name = options.pop("name", None)
    if not isinstance(name, str):
        known = ", ".join(plugins.class_names(FOLDER, Approximation))
        raise ConfigError(f"method.predictive.name={name}: give one of {known}.")
    cls = plugins.find_class(FOLDER, name, Approximation, where="method.predictive.name")
    try:
        return cls(**check_options(cls, options, where="method.predictive"))
    except ValueError as error:
        raise ConfigError(f"method.predictive: {error}") from None
