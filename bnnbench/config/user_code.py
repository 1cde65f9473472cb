"""What a user's own code raises: said in a line, with the file and the line of theirs, and what the protocol asks."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnnbench.errors import BnnbenchError, ConfigError

FRAMES = 3  # of the user's that are shown


@contextmanager
def called(what: str, asked: str = "", kind: type[BnnbenchError] = ConfigError) -> Iterator[None]:
    """Turn an exception out of the user's code, within a ``with`` block, into one of `kind`; one of our own passes.

    Args:
        what: was called, for the message: "model.name=nets.wide: build()".
        asked: a sentence on what the protocol asks.
        kind: ConfigError where the run is not possible at all; DataError where another run of a sweep may be.

    Raises:
        BnnbenchError: what was raised, where in the user's files, innermost last.
    """
    try:
        yield
    except (BnnbenchError, KeyboardInterrupt, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        frames = _users(error)
        if not frames and not isinstance(error, SyntaxError):
            raise
        if isinstance(error, SyntaxError):  # of a file that was never run
            frames = [f"{error.filename}, line {error.lineno}"]
        said = (str(error).splitlines() or [""])[0]
        end = f" {asked}" if asked else ""
        raise kind(f"{what} raised {type(error).__name__}: {said}{end}\n  in {'; '.join(frames[-FRAMES:])}") from error


def _users(error: BaseException) -> list[str]:
    """Return "file, line, in function" of the frames that are neither this package's nor a library's."""
    paths = sysconfig.get_paths()
    others = (str(Path(__file__).parents[1]), *(paths[key] for key in ("stdlib", "platlib", "purelib")))
    return [
        f"{frame.filename}, line {frame.lineno}, {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not any(Path(frame.filename).is_relative_to(p) for p in others)
    ]
