"""Which runs `compare` puts in one group, and which settings differ that its user may not have thought of."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnnbench.analysis.settings import differing, telling
from bnnbench.config.renamed import ALWAYS, current_key, tell_of
from bnnbench.errors import BnnbenchError
from bnnbench.store.frame import Run, comparable, flatten

PARTS = ("dataset", "model", "method")  # they have names, as typed on the command line
REPEATS = ("seed", "dataset.split")  # an experiment is repeated over these, and paired by them


@dataclass
class Group:
    """Runs that agree in what was asked for.

    Attributes:
        key: the values of the --by keys, as words.
        runs: the runs.
    """

    key: tuple[str, ...]
    runs: list[Run]


def resolve(by: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Return the configuration keys meant by `by`: in full, a section with a name, or an ending that only one key has.

    Raises:
        BnnbenchError: no such key, several that end so, or the seed, which is what the means are taken over.
    """
    configs = [run.config for run in runs]
    keys = list(dict.fromkeys(key for config in configs for key in flatten(config)))
    live = list(dict.fromkeys(key for config in configs for key in telling(config)))
    tell_of(by, ALWAYS)
    return list(dict.fromkeys(_resolve(current_key(word, ALWAYS), keys, live, configs) for word in by))


def _resolve(word: str, keys: list[str], live: list[str], configs: Sequence[Mapping[str, Any]]) -> str:
    if word in ("seed", "chain"):
        raise BnnbenchError(f"by: '{word}' repeats an experiment: the means are taken over it, it makes no groups.")
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
    """Return the runs by the values of the resolved keys `by`, in the order of their first run."""
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        flat = flatten(run.config)
        values = [run.name(key) if key in PARTS else flat.get(key) for key in by]
        words = tuple("–" if v is None else f"{v:.12g}" if isinstance(v, float) else str(v) for v in values)
        groups.setdefault(tuple(map(comparable, values)), Group(words, [])).runs.append(run)
    return list(groups.values())


def mixed(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Return the keys, seed and split aside, that differ within at least one group, so that a mean hides them."""
    keys = dict.fromkeys(key for group in groups for key in _differing(group.runs, by))
    return brief(list(keys))


def finer(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Return `by` with keys of `mixed` added, one if that is enough, so that no group is mixed any more."""
    runs, keys = [run for group in groups for run in group.runs], mixed(groups, by)
    for longer in ([*by, key] for key in keys):
        if not mixed(split_up(runs, longer), longer):
            return longer
    return [*by, *keys]


def confounded(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Return the keys that differ between groups though they belong to none of `by`: an unlike budget or prior, say.

    What a method or model is made of belongs to it; what differs within a group already is left to `mixed`.
    """
    within = {key for group in groups for key in _differing(group.runs, by)}
    named = [key for key in [*by, *within] if key in PARTS or key.endswith(".name")]
    own = tuple(f"{key.removesuffix('.name')}." for key in named)
    between = _differing([run for group in groups for run in group.runs], by)
    return brief([key for key in between if key not in within and not key.startswith(own)])


def _differing(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    return differing([run.config for run in runs], without=(*REPEATS, *by))


def brief(keys: Sequence[str]) -> list[str]:
    """Return the fewest keys that say the same: where a section's name differs, the section speaks for all below it."""
    for key in [key for key in keys if key.endswith(".name")]:
        section = key.removesuffix(".name")
        word = section if section in PARTS else key
        keys = list(dict.fromkeys(word if k == key else k for k in keys if k == key or not k.startswith(f"{section}.")))
    return list(keys)
