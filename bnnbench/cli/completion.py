"""TAB completion of overrides, from Hydra's own, for bash, zsh and fish."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any


class _AfterEqualsSign(str):
    """bash asks with `=` for what follows `method=`. Typer keeps what starts with `=`, but bash wants it without."""

    def startswith(self, *_: Any) -> bool:
        return True


def complete_overrides(incomplete: str) -> list[str]:
    """Complete overrides as Hydra does."""
    words, replaced = words_from_shell(os.environ, incomplete)
    kept = len(words[-1]) - len(replaced)
    found = [word[kept:] for word in complete(words) if word.startswith(words[-1])]
    return found if replaced == incomplete else [_AfterEqualsSign(word) for word in found]


def complete(words: Sequence[str]) -> list[str]:
    """Return the completions of the last of `words`: groups, choices and keys, from Hydra's own completion.

    The words before it count: after ``method=sgd``, ``method.optimizer.`` has the keys of sgd.
    """
    from hydra.plugins.completion_plugin import CompletionPlugin, DefaultCompletionPlugin

    from bnnbench.config.composition import config_loader

    plugin: CompletionPlugin = DefaultCompletionPlugin(config_loader())
    *before, word = words
    settled = [w if "[" in w else w.partition(",")[0] for w in before if "=" in w]  # of a sweep, its first value
    for kept in (settled, []):  # a wrong earlier word must not stop completion: complete without the earlier ones
        try:
            return plugin._query(config_name="config", line=" ".join([*kept, word]))
        except (Exception, SystemExit):
            continue
    return []


def words_from_shell(environment: Mapping[str, str], incomplete: str) -> tuple[list[str], str]:
    """Return the overrides typed so far, the last one unfinished, and the part of it that the shell replaces.

    bash cuts words at '=': ``method=ps`` arrives as ``method``, ``=``, ``ps``, and only ``ps`` is replaced.
    """
    if "COMP_WORDS" not in environment:  # zsh and fish leave words whole
        line = environment.get("_TYPER_COMPLETE_ARGS", "").split()
        before = line[: -1 if incomplete else None]
        return [*before[2:], incomplete], incomplete
    given = environment["COMP_WORDS"].split("\n")  # Typer's function for bash joins them so
    words = [""]
    tail = ""
    for word in given[2 : int(environment.get("COMP_CWORD", len(given) - 1)) + 1]:
        if word == "=":
            words[-1] += word
            tail = ""
        elif words[-1].endswith("="):
            words[-1] += word
            tail = word
        else:
            words.append(word)
            tail = word
    return words[1:] or [""], tail
