"""Replaces a file so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside `target`; what is written there takes its place if the block comes to its end."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        _create(partial)
        yield partial
        os.replace(partial, target)
    except OSError as error:
        if error.filename is None and error.strerror is not None:  # of a write, as on a full disk
            error.filename = str(target)
        raise
    finally:
        with contextlib.suppress(OSError):  # a disk that lets nothing be removed is not what went wrong
            partial.unlink(missing_ok=True)


def _create(path: Path) -> None:
    """Create the empty file `path`, in place of whatever has its name: a link there leads to no other file."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def without_links(path: str, flags: int) -> int:
    """Open `path`, for ``open(..., opener=without_links)``.

    Raises:
        OSError: it is a symbolic link, which may lead anywhere.
    """
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def write(target: Path, text: str) -> None:
    """Replace `target` by `text`; its folder is made if need be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        partial.write_text(text, "utf-8", errors="backslashreplace")  # a folder's name may be no UTF-8


def drop_partials(target: Path) -> None:
    """Remove what a process that was killed has left of `target` half written, as far as the disk lets it."""
    for partial in target.parent.glob(f".{target.name}.*.partial"):
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
