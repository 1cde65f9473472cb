"""Words of a legend: one entry per line, and no two alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bnnbench.analysis.groups import Replicates
from bnnbench.analysis.settings import differing, with_sources
from bnnbench.config.renamed import ALWAYS, current_key, tell_of
from bnnbench.errors import BnnbenchError, did_you_mean
from bnnbench.store.frame import flatten

SHORT = {"lambda_": "λ", "alpha": "α", "beta": "β", "gamma": "Γ", "temperature": "T", "burn_in": "burn-in"}


def legend_entries(
    groups: Sequence[Replicates], sources: Sequence[str], by: str = "method", fully: bool = True
) -> list[str]:
    """Return one legend entry per group, no two alike: "pSGLD (T = 1)", "SGD (last iterate)", "SGLD (T = 1, lr = 0.1)".

    Args:
        groups: the lines of one panel.
        sources: for each line, the prediction shown if not the posterior ("last iterate"), else "".
        by: ``method``, or the dotted config key whose value names the lines instead.
        fully: name all settings in which lines of one name differ. Else only where temperature and source do not tell
            them apart: for a figure whose caption says the rest.
    """
    tell_of([by], ALWAYS)
    key = None if by == "method" else _find_key(current_key(by, ALWAYS), groups)
    names, notes = [], []
    for g, source in zip(groups, sources, strict=True):
        temperature = f"T = {g.temperature}" if g.temperature else ""
        if key is None or g.config.get(key) is None:  # an optimiser has no temperature to be named by
            name = g.runs[0].label("method")
        elif key.endswith("temperature") and temperature:
            name, temperature = temperature, ""  # the effective one, which the key is about
        else:
            name = setting_words(key, g.config.get(key), g)
        names.append(name)
        notes.append([note for note in (temperature, source) if note])
    for same in _alike(names if fully else list(zip(names, map(tuple, notes), strict=True))):
        keys = _telling([with_sources(groups[i].runs[0]) for i in same])
        if len({groups[i].temperature for i in same}) > 1:
            keys = [key for key in keys if not key.endswith("temperature")]  # it stands in the notes
        for i in same:
            settings, recorded = groups[i].config, flatten(with_sources(groups[i].runs[0]))
            shown = [k for k in keys if k in settings or k not in recorded]  # one without effect has no value to tell
            words = [setting_words(k, settings.get(k), groups[i]) for k in shown]
            notes[i] = list(dict.fromkeys([*notes[i], *words]))  # two keys may have one value
    entries = [f"{n} ({', '.join(note)})" if note else n for n, note in zip(names, notes, strict=True)]
    for same in _alike(entries):  # numbers that %g writes alike
        for count, i in enumerate(same, start=1):
            entries[i] += f" #{count}"
    return entries


def setting_words(key: str, value: Any, of: Replicates) -> str:
    """Return a configuration value in the words of a legend: "lr = 0.1", "batch norm", "MLP 400-400"."""
    part, _, rest = key.partition(".")
    if part in ("dataset", "model", "method") and rest in ("label", "name"):
        return of.runs[0].label(part) if rest == "label" else of.runs[0].name(part)
    if key == "method.norm":
        return "no norm" if value in (None, "none") else f"{value} norm"
    if key == "schedule.name":
        return f"{value} schedule"
    word = key.rsplit(".", 1)[-1]
    if word == "name":  # method.layers.name: the folder says what it is
        word = key.split(".")[-2]
    text = f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
    return f"{SHORT.get(word, word.strip('_').replace('_', ' '))} = {text}"


def _alike(items: Sequence[Any]) -> list[list[int]]:
    """Return the positions of equal items, for each value that occurs more than once."""
    where: dict[Any, list[int]] = {}
    for i, item in enumerate(items):
        where.setdefault(item, []).append(i)
    return [same for same in where.values() if len(same) > 1]


def _telling(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fewest keys that tell the configurations apart: a section's label or name stands for its settings."""
    keys = differing(configs)
    for key in [k for k in keys if k.endswith(".label")] + [k for k in keys if k.endswith(".name")]:
        if key in keys:
            keys = [k for k in keys if k == key or not k.startswith(key.rpartition(".")[0] + ".")]
    # The legend shows the effective temperature already; the keys behind it appear only if nothing else differs.
    return [k for k in keys if not k.endswith("temperature")] or keys


def _find_key(by: str, groups: Sequence[Replicates]) -> str:
    keys = list(dict.fromkeys(key for g in groups for key in g.config))
    ends = [key for key in keys if key.endswith("." + by)]
    if by in keys or len(ends) == 1:
        return by if by in keys else ends[0]
    raise BnnbenchError(f"by: no configuration key '{by}' in these runs.{did_you_mean(by, ['method', *keys])}")
