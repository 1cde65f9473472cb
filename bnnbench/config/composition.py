"""Overrides in Hydra's grammar → the resolved configuration of one run."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.config.aliases import refuse_bombs
from bnnbench.config.hydra_errors import translate
from bnnbench.config.plugins import PACKAGE
from bnnbench.config.renamed import ALWAYS, current_config, current_overrides, tell_of
from bnnbench.errors import BnnbenchError, ConfigError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

NUMBERS = ("hydra.job.num", "hydra.job.id")  # of a run in its sweep
# Resolvers that Hydra caches, such as ${now:…}: one value for all configurations that this process composes.
_resolved_once: list[DictConfig] = []


def conf_dir() -> Path:
    """Return the folder of the configuration: inside an installed package, or at the top of a source checkout."""
    for candidate in (PACKAGE / "conf", PACKAGE.parent / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise BnnbenchError(f"conf/config.yaml is neither in {PACKAGE} nor beside it: is the installation complete?")


def choices(group: str) -> list[str]:
    """Return the names of the yaml files of `group` that ship with the package."""
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


@functools.cache
def labels(group: str) -> frozenset[str]:
    """Return the labels in the yaml files of `group` that ship with the package."""
    import yaml

    files = (yaml.safe_load(p.read_text("utf-8")) for p in (conf_dir() / group).glob("*.yaml"))
    return frozenset(str(content["label"]) for content in files if isinstance(content, dict) and "label" in content)


def compose(overrides: Sequence[str], config_dirs: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Return the resolved configuration of the run that ``bnnbench run <overrides>`` makes.

    Args:
        overrides: in Hydra's grammar, one value for each key: ``method=sgld``, ``+method.optimizer.beta=0.9``,
            ``hydra.job.num=3``. Of two for one key the later holds.
        config_dirs: further folders of yaml files, searched before those of the package (Hydra's ``--config-dir``).

    Raises:
        ConfigError: an override, or a file that one of them chooses, is wrong.
    """
    try:
        return _resolved(_composed_in_any_words(overrides, config_dirs))
    except Exception as error:
        translated = translate(error)
        if translated is error:
            raise
        raise translated from error


class Composer:
    """Composes the runs of a sweep, which differ in a few values: the files that they choose are merged once.

    Args:
        config_dirs: see `compose`.
        common: overrides that precede those of every run.
    """

    def __init__(self, config_dirs: Sequence[str | Path] = (), common: Sequence[str] = ()) -> None:
        self.config_dirs, self.common = config_dirs, tuple(common)
        self._merged: dict[tuple[str, ...], DictConfig] = {}  # by the words that choose files

    def compose(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return what the function `compose` returns for the common overrides and these.

        Raises:
            ConfigError: an override, or a file that one of them chooses, is wrong.
        """
        try:
            resolved = _resolved(self._with_values(overrides))
        except Exception:  # Hydra says what is wrong, or knows better
            return compose([*self.common, *overrides], self.config_dirs)
        return resolved

    def _with_values(self, overrides: Sequence[str]) -> DictConfig:
        """Return Hydra's configuration: the merged files, with the values set as Hydra's loader sets them.

        Raises:
            Exception: this is not for certain what Hydra would do.
        """
        from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname

        loader = config_loader(self.config_dirs)
        assert isinstance(loader, ConfigLoaderImpl)
        parsed = [_parsed_override(override) for override in overrides]
        values = [
            o for o in parsed if isinstance(o.value(), dict) or not loader.repository.group_exists(o.key_or_group)
        ]
        if any(o.is_sweep_override() or (o.is_hydra_override() and o.key_or_group not in NUMBERS) for o in parsed):
            raise ValueError("not only values of a run")
        of_files = tuple(str(o.input_line) for o in parsed if o not in values)
        if of_files not in self._merged:
            self._merged[of_files] = _composed([*self.common, *of_files], self.config_dirs)
        cfg = copy.deepcopy(self._merged[of_files])
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        everything = [*map(_parsed_override, self.common), *parsed]
        own = [o for o in everything if not o.is_hydra_override()]
        cfg.hydra.overrides.hydra = [o.input_line for o in everything if o.is_hydra_override()]
        cfg.hydra.overrides.task = [o.input_line for o in own]
        spelt = cfg.hydra.job.config.override_dirname
        cfg.hydra.job.override_dirname = get_overrides_dirname(
            overrides=own, kv_sep=spelt.kv_sep, item_sep=spelt.item_sep, exclude_keys=spelt.exclude_keys
        )
        return cfg


@functools.lru_cache(maxsize=4096)
def _parsed_override(override: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(override)


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return the run's part of Hydra's configuration `cfg`, without interpolations, its keys by their present names."""
    from omegaconf import OmegaConf

    with _as_hydra_config(cfg):  # what ${hydra:job.num} refers to
        run = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        if _resolved_once:
            OmegaConf.copy_cache(from_config=_resolved_once[0], to_config=run)
        resolved = OmegaConf.to_container(run, resolve=True, throw_on_missing=True)
    _resolved_once[:] = [run]
    assert isinstance(resolved, dict)
    return current_config({str(key): value for key, value in resolved.items()})


def chosen_files(overrides: Sequence[str], config_dirs: Sequence[str | Path] = ()) -> dict[str, str]:
    """Return config group → the name of the file that `overrides` choose, such as ``schedule`` → ``constant``."""
    choices = _composed_in_any_words(overrides, config_dirs).hydra.runtime.choices
    return {str(group): name for group, name in choices.items() if "/" not in str(group)}


def config_loader(config_dirs: Sequence[str | Path] = ()) -> ConfigLoader:
    """Return Hydra's loader of the package's configuration, with `config_dirs` searched first.

    Raises:
        ConfigError: one of `config_dirs` is no folder.
    """
    folders = [os.path.abspath(folder) for folder in config_dirs]
    for given, folder in zip(config_dirs, folders, strict=True):
        if not os.path.isdir(folder):
            raise ConfigError(f"--config-dir {given}: no such folder. Give one that holds method/, model/ or the like.")
        refuse_bombs(Path(folder))
    return _loader(tuple(folders))


@functools.cache
def _loader(folders: tuple[str, ...]) -> ConfigLoader:
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.utils import JobRuntime, setup_globals

    version.setbase("1.3")
    setup_globals()  # Hydra's resolvers
    JobRuntime.instance().set("name", "bnnbench")
    search_path = create_config_search_path(str(conf_dir()))
    for folder in reversed(folders):
        search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema", path=None))
    return ConfigLoaderImpl(search_path)


def _composed_in_any_words(overrides: Sequence[str], config_dirs: Sequence[str | Path]) -> DictConfig:
    """Compose the overrides as given, else with renamed keys in their present names."""
    try:
        return _composed(overrides, config_dirs)
    except Exception:
        current = current_overrides(overrides, ALWAYS)
        entirely = current_overrides(current)
        if entirely == list(overrides):
            raise
    with suppress(Exception):
        found = _composed(entirely, config_dirs)
        tell_of(overrides)
        return found
    tell_of(overrides, ALWAYS)
    return _composed(current, config_dirs)  # its error concerns the words as typed


def _composed(overrides: Sequence[str], config_dirs: Sequence[str | Path]) -> DictConfig:
    from hydra.types import RunMode

    return config_loader(config_dirs).load_configuration("config", list(overrides), run_mode=RunMode.RUN)


@contextmanager
def _as_hydra_config(cfg: DictConfig) -> Iterator[None]:
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before
