"""What all verbs share: errors in a line or two, and the completion of a choice."""

from __future__ import annotations

import errno
import os
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
            try:
                done = action()
            except SystemExit:  # Hydra's help ends the process
                _flushed(None)
                raise
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
        typer.echo(f"error: {visible(_said_by_the_system(error))}", err=True)
    raise typer.Exit(1)


def _said_by_the_system(error: OSError) -> str:
    """Return which file or stream the system refused, and why."""
    place = error.filename2 or error.filename  # the second is the name that a file should have been given
    if place:
        return f"{place}: {error.strerror}."
    if error.errno == errno.ENOENT:  # what os.getcwd() raises
        return "the working directory is no longer there. Go to another one."
    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT):  # files are named by those who write them
        streams.silence(sys.stdout)
        return f"standard output could not be written: {error.strerror}."
    return str(error)


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


def no_screen() -> None:
    """Let matplotlib draw into files alone, whatever screen $MPLBACKEND asks for."""
    os.environ["MPLBACKEND"] = "agg"


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
