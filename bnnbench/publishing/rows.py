"""A CSV file of measurements: a dataclass each, whose fields are words or numbers, or such that may lack."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from bnnbench.errors import BnnbenchError

R = TypeVar("R")


def text(kind: type[R], rows: Iterable[R]) -> str:
    """Return the CSV of `rows`: numbers with five digits, nothing where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns(kind))
    for row in rows:
        writer.writerow([_cell(value) for value in astuple(row)])  # type: ignore[call-overload]
    return out.getvalue()


def read(kind: type[R], path: Path, name: str) -> list[R]:
    """Return the rows of the CSV at `path`, none if there is no such file.

    Args:
        kind: the dataclass.
        path: of the file.
        name: of the table, for the error.

    Raises:
        BnnbenchError: it is another table.
    """
    if not path.is_file():
        return []
    types = {column: _type(hint) for column, hint in get_type_hints(kind).items() if column in columns(kind)}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                kind(**{column: _value(cells[column], *types[column]) for column in types})
                for cells in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError, UnicodeDecodeError, csv.Error) as error:
        raise BnnbenchError(f"{path}: no table of {name} ({error}). Remove it, or give another --out.") from None


def columns(kind: type[Any]) -> Sequence[str]:
    """Return the names of the columns, in order."""
    return [column.name for column in fields(kind)]


def _type(hint: Any) -> tuple[type, bool]:
    """Return the type of a column's values, and whether one may lack."""
    either = [each for each in get_args(hint) if each is not type(None)] or [hint]
    return either[0], len(either) < len(get_args(hint))


def _value(cell: str, kind: type, may_lack: bool) -> Any:
    return None if may_lack and cell == "" else kind(cell)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
