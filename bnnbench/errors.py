"""Errors that a user can mend: one or two lines saying what was given, what is allowed and how to fix it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class BnnbenchError(Exception):
    """Base of all errors shown without a traceback; the message is the whole story."""

    exit_code = 1  # of the command that ends with it


class ConfigError(BnnbenchError):
    """A name, key, type or range in the configuration is wrong."""


class DataError(BnnbenchError):
    """A data file is missing, truncated, of another shape or of another checksum."""


class InUseError(BnnbenchError):
    """Another process is writing this run. Nothing is wrong: the same command later finds it finished or resumes it."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later


class StorageError(BnnbenchError):
    """A run could not write its results, on a full disk say. The run itself is not at fault: it can be continued."""


class DivergedError(BnnbenchError):
    """The loss or a parameter stopped being finite."""


def visible(text: str) -> str:
    """Return `text` with control characters written out: words from a file must not command the terminal."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of `allowed` (else ``""``) and the whole list after it."""
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return f"{hint} Allowed: {', '.join(names) or '(none)'}."
