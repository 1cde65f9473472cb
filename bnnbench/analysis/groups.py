"""Groups of runs: replicates of one configuration, and the groups that `--by` asks for, with what else differs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnnbench.analysis.settings import differing, telling, with_sources
from bnnbench.config.renamed import ALWAYS, current_key, tell_of
from bnnbench.errors import BnnbenchError
from bnnbench.store.frame import Run, comparable, flatten

PARTS = ("dataset", "model", "method")  # they have names, as typed on the command line
REPEATS = ("seed", "dataset.split")  # an experiment is repeated over these, and paired by them


@dataclass
class Group:
    """Runs that agree in the `--by` keys.

    Attributes:
        key: the values of the --by keys, as words.
        runs: the runs.
    """

    key: tuple[str, ...]
    runs: list[Run]


@dataclass
class Replicates:
    """Runs of one configuration under several seeds: one line of a figure, one row of a table of scores.

    Attributes:
        runs: the replicates.
        config: flat configuration without what cannot change the numbers.
    """

    runs: list[Run]
    config: dict[str, Any]

    @property
    def method(self) -> str:
        """The method's name, as typed on the command line."""
        return self.runs[0].name("method")

    @property
    def temperature(self) -> str | None:
        """The effective temperature in words: ``1/N``, a number, or None for an optimiser."""
        manifest = self.runs[0].manifest  # all replicates agree
        temperature, data = manifest.get("temperature"), manifest.get("num_data") or 1
        if not isinstance(temperature, (int, float)):
            return None
        return "1/N" if data > 1 and abs(temperature * data - 1) < 1e-9 else f"{temperature:g}"


def replicates(runs: Sequence[Run]) -> list[Replicates]:
    """Return `runs` grouped by configuration and temperature, in the order of first appearance."""
    groups: dict[tuple[Any, ...], Replicates] = {}
    for run in runs:
        config = telling(with_sources(run))
        # Beside the configuration the effective temperature, by whichever key it was set.
        key = (*sorted((k, comparable(v)) for k, v in config.items()), repr(run.manifest.get("temperature")))
        groups.setdefault(key, Replicates([], config)).runs.append(run)
    return list(groups.values())


def resolve_keys(by: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Return the full configuration keys that `by` abbreviates: a section with a name, or an unambiguous ending.

    Raises:
        BnnbenchError: no such key, several with that ending, or the seed, which the means are taken over.
    """
    configs = [with_sources(run) for run in runs]
    keys = list(dict.fromkeys(key for config in configs for key in flatten(config)))
    live = list(dict.fromkeys(key for config in configs for key in telling(config)))
    tell_of(by, ALWAYS)
    return list(dict.fromkeys(_resolve_key(current_key(word, ALWAYS), keys, live, configs) for word in by))


def _resolve_key(word: str, keys: list[str], live: list[str], configs: Sequence[Mapping[str, Any]]) -> str:
    if word in ("seed", "chain"):
        raise BnnbenchError(f"by: '{word}' repeats an experiment: means are taken over it, so it cannot define groups.")
    if word in PARTS or word in live:
        return word
    if f"{word}.name" in keys:
        return f"{word}.name"
    ends = [key for key in live if key.endswith(f".{word}")]
    if len(ends) == 1 or (word in keys and not ends):
        return ends[0] if ends else word
    if ends:
        raise BnnbenchError(f"by: several keys end in '{word}': {', '.join(ends)}. Give one of them in full.")
    short = {key.rpartition(".")[2]: key for key in live}
    near = [short.get(name, name) for name in difflib.get_close_matches(word, [*PARTS, *keys, *short], n=2, cutoff=0.6)]
    hint = f" Did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
    differ = brief(differing(configs))
    raise BnnbenchError(
        f"by: no configuration key '{word}' in these runs.{hint} What differs: {', '.join(differ) or 'nothing'}."
    )


def split_up(runs: Sequence[Run], by: Sequence[str]) -> list[Group]:
    """Return `runs` grouped by the values of the resolved keys `by`, in the order of first appearance."""
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        flat = flatten(with_sources(run))
        values = [run.name(key) if key in PARTS else flat.get(key) for key in by]
        words = tuple("–" if v is None else f"{v:.12g}" if isinstance(v, float) else str(v) for v in values)
        groups.setdefault(tuple(map(comparable, values)), Group(words, [])).runs.append(run)
    return list(groups.values())


def mixed(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Return the keys, other than seed and split, that vary within at least one group."""
    keys = dict.fromkeys(key for group in groups for key in _differing(group.runs, by))
    return brief(list(keys))


def confounded(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Return the keys that differ between groups beside those in `by`: another budget or prior, say.

    Settings of a method or model in `by` belong to it; keys that vary within a group are reported by `mixed`.
    """
    within = {key for group in groups for key in _differing(group.runs, by)}
    named = [key for key in [*by, *within] if key in PARTS or key.endswith(".name")]
    own = tuple(f"{key.removesuffix('.name')}." for key in named)
    between = _differing([run for group in groups for run in group.runs], by)
    return brief([key for key in between if key not in within and not key.startswith(own)])


def _differing(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    return differing([with_sources(run) for run in runs], without=(*REPEATS, *by))


def brief(keys: Sequence[str]) -> list[str]:
    """Return `keys` without those below a section whose name is among them: the section stands for its settings."""
    for key in [key for key in keys if key.endswith(".name")]:
        section = key.removesuffix(".name")
        word = section if section in PARTS else key
        keys = list(dict.fromkeys(word if k == key else k for k in keys if k == key or not k.startswith(f"{section}.")))
    return list(keys)
