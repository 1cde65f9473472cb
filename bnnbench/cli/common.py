"""What all verbs share: errors in a line or two, and the completion of a choice."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from bnnbench.cli import streams

LISTS = ("methods", "models", "datasets", "schedules", "metrics", "experiments", "runs", "figures")  # of `bnnbench ls`


def guarded(action: Callable[[], Any]) -> Any:
    """Run `action`; show an error that the user can mend in its own one or two lines and exit with its code."""
    from bnnbench.errors import BnnbenchError, visible

    streams.open_closed()
    streams.replace_unknown()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _as_note(warnings.showwarning)
            done = action()
        return _flushed(done)
    except BnnbenchError as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
    except BrokenPipeError:  # `bnnbench ls | head -1`: the reader has seen enough
        streams.silence(sys.stdout)
    except OSError as error:  # a folder that cannot be written, a full disk
        typer.echo(f"error: {error.filename}: {error.strerror}." if error.filename else f"error: {error}", err=True)
    raise typer.Exit(1)


def _flushed(done: Any) -> Any:
    """Return `done`, the result of an action, when all that it printed has been written.

    Raises:
        BnnbenchError: the disk that standard output goes to is full.
    """
    from bnnbench.errors import BnnbenchError

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        streams.silence(sys.stdout)
        raise BnnbenchError(f"standard output could not be written: {error.strerror or error}.") from None
    return done


def _as_note(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return a replacement of warnings.showwarning that prints warnings of this package in a line."""
    package = str(Path(__file__).resolve().parents[1])

    def show(message: Warning | str, category: type[Warning], filename: str, *rest: Any) -> None:
        if filename.startswith(package):
            typer.echo(f"note: {message}", err=True)
        else:
            otherwise(message, category, filename, *rest)

    return show


def complete_among(*values: str) -> Callable[[str], list[str]]:
    """Return a completion among `values`."""
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def choice(values: tuple[str, ...], about: str = "") -> Any:
    """Return an option that takes one of `values`, which its help lists."""
    return typer.Option(help=about + " | ".join(values), autocompletion=complete_among(*values))


def words(commas: str) -> list[str]:
    """Return the words between commas."""
    return [word.strip() for word in commas.split(",")]
