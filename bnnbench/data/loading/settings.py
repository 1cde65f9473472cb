"""The content of a ``conf/dataset/*.yaml``, checked without reading any data file."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval, Lt

from bnnbench.config import plugins
from bnnbench.config.signatures import check_options
from bnnbench.data.loading.preprocess import Center
from bnnbench.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Settings:
    """The fields that every dataset has; all others are options of the dataset's own ``load``.

    Attributes:
        name: file in ``bnnbench/data/`` or dotted name of a user's module.
        label: for tables and legends.
        divide: inputs are divided by this.
        center: see `Preprocess.fit`.
        valid: held out of the training set: a count, or a fraction below 1.
        valid_seed: which points are held out; None follows the run's seed.
        standardise_target: train on (y − mean) / std with statistics of the training split; None: the task's choice.
        budget: the default budget; the run's configuration refers to it, this package does not.
    """

    name: str
    label: str = ""
    divide: Annotated[float, Gt(0), Lt(math.inf)] = 1.0
    center: Center = "none"
    valid: Annotated[float, Ge(0), Lt(math.inf)] = 0
    valid_seed: Annotated[int, Interval(ge=0, lt=2**32)] | None = 0
    standardise_target: bool | None = None
    budget: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A dataset's module, checked.

    Attributes:
        name: as typed.
        task: its ``TASK``, the name of a task.
        classes: its ``CLASSES``, which the task may need.
        module: itself.
    """

    name: str
    task: str
    classes: Any
    module: ModuleType | Any

    @property
    def load(self) -> Callable[..., Any]:
        """``load(root, part, **options)``."""
        return self.module.load


def find_source(name: str) -> Source:
    """Return the dataset called `name`.

    Raises:
        ConfigError: no such dataset, or its module lacks TASK or load.
    """
    module = plugins.find("data", name)
    task, classes = getattr(module, "TASK", None), getattr(module, "CLASSES", None)
    if not isinstance(task, str):
        raise ConfigError(f"data: '{name}' has TASK = {task!r}; it must be the name of a task.")
    if not callable(getattr(module, "load", None)):
        raise ConfigError(f"data: '{name}' has no function 'load(root, part, **options)'.")
    return Source(name, task, classes, module)


def read(dataset: Mapping[str, Any]) -> tuple[Settings, Source, dict[str, Any]]:
    """Return the common settings, the source and the options of its ``load``.

    Raises:
        ConfigError: an unknown name or key, a wrong type, a value out of range.
    """
    common = {f.name for f in fields(Settings)}
    settings = Settings(**check_options(Settings, {k: v for k, v in dataset.items() if k in common}, where="dataset"))
    if settings.valid >= 1 and settings.valid != int(settings.valid):
        raise ConfigError(f"dataset.valid={settings.valid}: a whole number of points, or a fraction below 1.")
    source = find_source(settings.name)
    own = {k: v for k, v in dataset.items() if k not in common}
    return settings, source, own_options(source, own, where="dataset", known=common)


def own_options(source: Source, given: dict[str, Any], *, where: str, known: Collection[str] = ()) -> dict[str, Any]:
    """Return the options of a source's ``load``, checked; `known` are further keys for the did-you-mean.

    Raises:
        ConfigError: an unknown option, one missing, a wrong type, a value out of range.
    """
    parameters = inspect.signature(source.load).parameters
    supplied = list(parameters)[:2]  # root and part, whatever the module calls them
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        allowed = {*known, *parameters}.difference(supplied)
        for key in given:  # before check_options, whose hint would know the dataset's own options only
            if key not in allowed:
                raise ConfigError(f"{where}.{key}: no such option of '{source.name}'.{did_you_mean(key, allowed)}")
    return check_options(source.load, given, supplied=supplied, where=where)
