"""A hostile input: a command line, what surrounds it, and what is right. The tables of cases are made of these."""

from __future__ import annotations

import functools
import importlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hostile.place import Place

KINDS = {
    "foreign_folders": "B1",
    "law": "B2",
    "lengths": "B3",
    "values": "B4",
    "tables": "B5",
    "stale": "B6",
    "sanity": "B7",
    "accounting": "B8",
    "users_parts": "B9",
    "read_back": "B10",
    "locales": "B11",
    "limits": "B12",
}
VERBS = ("run", "plot", "compare", "collect", "ls", "data", "tune", "sparsity", "export")
TINY = "model.widths=[4] iterations=4 eval.every=2 threads=1"

Setup = Callable[[Place], Any]
Check = Callable[[Place, str, str], Any]  # place, stdout, stderr; an AssertionError says what is wrong


@dataclass(frozen=True)
class Case:
    """A command line and what must come of it.

    Attributes:
        name: unique among those of its kind.
        argv: the words behind ``bnnbench``; TINY stands for a run of a second, {tmp}, {results}, {psgld}, {sgld} and
            {sparse} for the case's own folder, the ready results in it, and the runs there; {adhoc} for the run that
            the setup has made.
        refused: whether the command must end with an error of a few lines, rather than do what was asked.
        says: a regular expression that the message, or else the output, must match, line breaks being spaces.
        setup: edits what surrounds the command; what it returns, if that can be called, then limits the process.
        check: looks at what is left.
        env: environment variables; None removes one.
        cwd: where the command runs.
        fresh: whether it needs a new Python: what is decided when the interpreter starts.
        stdout: of the command: a device, or `closed`.
        kind: name of the table that it stands in.
    """

    name: str
    argv: tuple[str, ...]
    refused: bool
    says: str = ""
    setup: Setup | None = None
    check: Check | None = None
    env: Mapping[str, str | None] = field(default_factory=dict)
    cwd: str = "{tmp}"
    fresh: bool = False
    stdout: str = ""
    kind: str = ""

    @property
    def verb(self) -> str:
        """The verb; `app` where there is none."""
        return self.argv[0] if self.argv[0] in VERBS else "app"

    @property
    def id(self) -> str:
        return f"{self.kind}: {self.name}"


def _words(line: str | tuple[str, ...]) -> tuple[str, ...]:
    words = shlex.split(line) if isinstance(line, str) else line
    return tuple(word for given in words for word in (TINY.split() if given == "TINY" else [given]))


def no(name: str, line: str | tuple[str, ...], says: str, **more: Any) -> Case:
    """Return a case that must be refused with words that match `says`."""
    return Case(name, _words(line), refused=True, says=says, **more)


def yes(name: str, line: str | tuple[str, ...], says: str = "", **more: Any) -> Case:
    """Return a case that must be accepted, with an output that matches `says`."""
    return Case(name, _words(line), refused=False, says=says, **more)


@functools.cache
def all_cases() -> Mapping[str, Case]:
    """Return all cases by their ids, table by table."""
    cases: dict[str, Case] = {}
    for kind in KINDS:
        for case in importlib.import_module(f"hostile.{kind}").CASES:
            case = replace(case, kind=kind)
            assert case.id not in cases, case.id
            cases[case.id] = case
    return cases


def written_out(text: str, place: Place) -> str:
    """Return `text` with the place's folders in it."""
    for key, folder in place.folders().items():
        text = text.replace(f"{{{key}}}", str(folder))
    return text


def kept(*names: str) -> Check:
    """Return a check that files below the case's folder still hold what the setup wrote: their own name."""

    def check(place: Place, out: str, err: str) -> None:
        for name in names:
            assert Path(place.tmp, name).read_text() == name, name

    return check
