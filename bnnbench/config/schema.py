"""The typed schema of conf/: names, types and ranges of everything a run is made of. Defaults stand in conf/*.yaml.

Options of plug-ins (a model's widths, a sampler's alpha) are not listed here: they are checked against the signature
of the plug-in that receives them, so that adding one touches no central file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from annotated_types import Ge, Gt, Le, MinLen
from pydantic_core import PydanticCustomError

from bnnbench.config.signatures import explain
from bnnbench.errors import ConfigError, did_you_mean

MOST = 3e38  # what single precision holds


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # which Python counts among the integers
        raise PydanticCustomError("number", "input should be a number, not true or false")
    return value


IsNumber = pydantic.BeforeValidator(_number)
Count = Annotated[int, Ge(1), Le(10**12), IsNumber]
Natural = Annotated[int, Ge(0), IsNumber]
Positive = Annotated[float, Gt(0), Le(MOST), IsNumber]
NonNegative = Annotated[float, Ge(0), Le(MOST), IsNumber]


def _one_folder(name: str) -> str:
    if not re.fullmatch(r"[\w+-][\w.+-]*", name):  # it must not lead out of the results folder
        raise PydanticCustomError("folder", "input should be the name of one folder: letters, digits, _ . + -")
    return name


def _reachable(folder: str) -> str:
    try:
        Path(folder).expanduser()
    except RuntimeError:
        raise PydanticCustomError("home", "input should not begin with the ~ of an unknown user") from None
    return folder


def _each_once(names: list[Any]) -> list[Any]:
    if twice := [name for name in names if names.count(name) > 1]:
        raise PydanticCustomError("twice", f"input should name {twice[0]} once")
    return names


Folder = Annotated[str, MinLen(1), pydantic.AfterValidator(_reachable)]
FolderName = Annotated[str, pydantic.AfterValidator(_one_folder)]


class _Strict:
    """Unknown keys, infinities and NaN are errors."""

    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # noqa: RUF012 (read by pydantic, never written)


@dataclass(frozen=True)
class Members(_Strict):
    """Which iterates join the posterior mean, and how they are averaged."""

    burn_in: Natural | None  # iterations; None: a fraction of the run, as the next
    thin: Count | None  # iterations
    average: Literal["probability", "log_probability"]
    weight: Literal["equal", "lr"]


@dataclass(frozen=True)
class Evaluation(_Strict):
    """When and on what a run is evaluated."""

    every: Count | None  # iterations; None: a fraction of the run
    splits: Annotated[list[Literal["valid", "test"]], pydantic.AfterValidator(_each_once)]
    ood: list[str]  # names of datasets
    ece_bins: Annotated[Count, Le(100_000)]
    metrics: list[str | dict[str, Any]]  # further ones, by name, or name and options
    batch_size: Count  # data per forward pass


@dataclass(frozen=True)
class NoiseOn(_Strict):
    """Which kinds of parameters a sampler's noise reaches, beside the weights."""

    biases: bool
    norm: bool


@dataclass(frozen=True)
class KL(_Strict):
    """β_t, the weight of the KL: 0 to epoch a, linear to epoch b, `scale` from there on."""

    scale: NonNegative
    zero_until: NonNegative  # a, epochs
    full_from: NonNegative  # b, epochs


@dataclass(frozen=True)
class Method(_Strict):
    """A method = stochastic layers + normalisation + update rule + predictive."""

    name: str  # as typed: method=<name>
    label: str  # the legend's words
    layers: dict[str, Any]  # name, which layers of the network (only, input), then the options of the layer
    kl: KL
    init_from: Folder | None  # folder of a run whose parameters training starts from
    norm: Literal["none", "batch", "layer"]
    bn_stats: Literal["running", "refit", "frozen", "batch"]
    bn_refit_size: Count  # training points for refit and frozen
    noise_on: NoiseOn
    optimizer: dict[str, Any]  # name and lr, then the options of the update rule
    predictive: dict[str, Any]  # name, then the options of the approximation of the posterior
    reference: str


@dataclass(frozen=True)
class DataPlace(_Strict):
    """Where datasets lie."""

    root: Folder | None


@dataclass(frozen=True)
class RunConfig(_Strict):
    """One run, resolved: no interpolation left."""

    seed: Natural
    chains: Count  # K
    epochs: Positive
    iterations: Count | None  # used in place of epochs if given
    batch_size: Count  # per chain
    shuffle: bool
    random: Literal["counter", "torch"]  # where samplers and layers draw from
    temperature: NonNegative | Literal["1/N"]  # T
    task: dict[str, Any]  # name, then the options of the task
    prior: dict[str, Any]  # name, biases, norm, then the options of the prior
    members: Members
    eval: Evaluation
    device: str
    threads: Literal["auto"] | Annotated[Count, Le(4096)]
    data: DataPlace
    results: Folder
    name: FolderName
    checkpoint_every: NonNegative  # seconds
    force: bool
    dataset: dict[str, Any]
    model: dict[str, Any]
    schedule: dict[str, Any]
    method: Method
    chosen: dict[str, Any] | None = None  # absent from runs recorded earlier


def parse(raw: Mapping[str, Any]) -> RunConfig:
    """Return the typed configuration of a resolved `raw` one.

    Raises:
        ConfigError: one line for every unknown key, wrong type and value out of range.
    """
    try:
        return _schema().validate_python(dict(raw))
    except pydantic.ValidationError as error:
        raise ConfigError(_describe(error.errors(), raw)) from None


@functools.cache
def _schema() -> pydantic.TypeAdapter[RunConfig]:
    """Return what checks a configuration: built once, for the many jobs of a sweep."""
    return pydantic.TypeAdapter(RunConfig)


def _describe(problems: list[Any], raw: Mapping[str, Any]) -> str:
    """Return one line for every finding, with the nearest valid names for an unknown key."""
    lines, missing, others = [], [], []
    for problem in problems:
        place = [str(p) for p in problem["loc"]]
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            lines.append(f"{'.'.join(place)}: no such key.{did_you_mean(place[-1], _fields_at(place[:-1]))}")
        elif problem["type"] in ("missing", "missing_argument"):
            missing.append(".".join(place))
        else:
            others.append(problem)
    if missing:
        lines.append(f"{', '.join(missing)}: missing. Every key has a default in conf/; was it removed?")
    return "\n".join([*lines, *explain(others, raw).splitlines()])


def _fields_at(place: list[str]) -> list[str]:
    """Return the keys allowed at `place`, a path of keys below the whole configuration."""
    by_place = {
        "": RunConfig,
        "members": Members,
        "eval": Evaluation,
        "data": DataPlace,
        "method": Method,
        "method.noise_on": NoiseOn,
        "method.kl": KL,
    }
    return [field.name for field in fields(by_place[".".join(place)])]
