"""Which samplers the words of a command line mean."""

from __future__ import annotations

from collections.abc import Sequence

from bnnbench.check.sampler import Sampler, from_configuration
from bnnbench.config.composition import choices, compose
from bnnbench.config.plugins import names
from bnnbench.errors import ConfigError
from bnnbench.inference.method import injects_noise, optimizer_class

NAME = "method.optimizer.name"
WORDS = ("method", "temperature")


def samplers(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> list[Sampler]:
    """Return the samplers that `overrides` describe; without any, every one of the package as its method has it.

    Args:
        overrides: in Hydra's grammar: ``method=psgld``, ``method=sgld,psgld``, ``method.optimizer.alpha=0.9``. A rule
            of the user's, ``method.optimizer.name=mypkg.Mine``, starts without options of another method.
        config_dirs: see `bnnbench.config.composition.compose`.

    Raises:
        ConfigError: something else than a sampler is described.
    """
    given = {key.lstrip("+~"): value for key, _, value in (word.partition("=") for word in overrides)}
    for key in given:
        if key.partition(".")[0] not in WORDS or (
            key.startswith("method.") and not key.startswith("method.optimizer.")
        ):
            raise ConfigError(f"{key}: not for a check. It takes method=…, method.optimizer.…=… and temperature=….")
    rest = [word for word in overrides if not word.startswith("method=")]
    if "method" in given:
        chosen = given["method"].split(",")
    elif NAME in given:
        chosen = [given[NAME] if given[NAME] in choices("method") else "sgld"]
    else:
        chosen = [name for name in names("samplers") if injects_noise(optimizer_class(name))]
    plain = "method" not in given  # then a sampler need not have a yaml
    found = []
    for name in chosen:
        if plain and name not in choices("method"):
            found.append(Sampler(name))
        else:
            found.append(from_configuration(compose([f"method={name}", *rest], config_dirs), list(given)))
    return found
