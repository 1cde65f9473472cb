"""From a command line to a resolved configuration: Typer hands over to Hydra, whose errors are put into our words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bnnbench.errors import BnnbenchError, ConfigError, did_you_mean

GROUPS = ("dataset", "experiment", "method", "model", "schedule")


def conf_dir() -> Path:
    """Return the folder of the configuration: inside an installed package, or at the top of a source checkout."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "conf", here.parent / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise BnnbenchError(f"conf/config.yaml is neither in {here} nor beside it: is the installation complete?")


def choices(group: str) -> list[str]:
    """Return the names of the yaml files of `group` that ship with the package."""
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


def run_hydra(arguments: list[str], task: Callable[[dict[str, Any]], Any], name: str = "bnnbench run") -> None:
    """Compose the configuration from `arguments` by Hydra's grammar and call `task` on it, resolved, for every job.

    ``-m`` and every other flag of Hydra (``--cfg job``, ``--info``, ``--config-dir``, ``--help``) works as in any
    Hydra application.

    Raises:
        ConfigError: what Hydra refused, in one or two lines with the nearest valid names.
    """
    import hydra
    from hydra._internal.utils import get_args_parser
    from omegaconf import DictConfig, OmegaConf

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    def main(cfg: DictConfig) -> None:
        resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        assert isinstance(resolved, dict)
        task({str(key): value for key, value in resolved.items()})

    # Hydra's parser wants the overrides in one block: with `seed=3 -m method=sgld,psgld` it stops at the second.
    overrides = get_args_parser().parse_intermixed_args(arguments).overrides if arguments else []
    flags = list(arguments)
    for override in overrides:
        flags.remove(override)
    before, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [name, *overrides, *flags]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and leaving: we print
    try:
        main()
    except Exception as error:
        if full_error == "1":
            raise
        raise translate(error) from error
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]


def translate(error: Exception) -> Exception:
    """Return a ConfigError in place of one of Hydra's or OmegaConf's; any other error as it is."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, given = str(error.missing_cfg_file).rpartition("/")
        return ConfigError(f"{group}={given}: no such choice.{did_you_mean(given, error.options)}")
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, OmegaConfBaseException) and "is not in struct" in str(cause):
        key = str(cause.full_key or cause.key)
        parent, _, last = key.rpartition(".")
        allowed = [str(k) for k in cause.parent_node] if isinstance(cause.parent_node, Mapping) else []
        if not parent:
            allowed = [*allowed, *GROUPS]
        return ConfigError(f"{parent + '.' if parent else ''}{last}: no such key.{did_you_mean(last, set(allowed))}")
    if isinstance(error, HydraException | OmegaConfBaseException):
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and "https://" not in line]
        if cause is not error:
            lines += str(cause).splitlines()[:1]
        return ConfigError(" ".join(lines[:2]) if lines else type(error).__name__)
    return error


def complete(incomplete: str, before: list[str]) -> list[str]:
    """Return what may follow on the command line: groups, choices and keys, from Hydra's own completion."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.plugins.completion_plugin import CompletionPlugin, DefaultCompletionPlugin

    loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
    plugin: CompletionPlugin = DefaultCompletionPlugin(loader)
    line = " ".join([*before, incomplete])
    return plugin._query(config_name="config", line=line)
