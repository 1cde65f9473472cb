"""Replaces a file so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.store.find import is_run


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside `target`; what is written there takes its place if the block comes to its end."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        _create(partial)
        yield partial
        os.replace(partial, target)
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
        partial.write_text(text, "utf-8")


def drop_partials(target: Path) -> None:
    """Remove what a process that was killed has left of `target` half written, as far as the disk lets it."""
    for partial in target.parent.glob(f".{target.name}.*.partial"):
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def check_target(out: Path, endings: Sequence[str]) -> Path:
    """Return the file that `out` names, once it is sure that a table may be written there.

    Raises:
        BnnbenchError: another ending, a folder, a device, or the metrics.csv of a run.
    """
    if out.suffix.lower() not in endings:
        raise BnnbenchError(f"out: {out} should end in {' or '.join(endings)}.")
    target = out.resolve()
    if target.exists() and not target.is_file():
        raise BnnbenchError(f"out: {out} is no file. Name one, such as {out / f'table{endings[0]}'}.")
    if target.name == "metrics.csv" and is_run(target.parent):
        raise BnnbenchError(f"out: {out} is what a run has recorded. Take another name.")
    return target


def check_folder(out: str | Path | None) -> None:
    """Raise ConfigError if `out` is no folder that files can be written to, and cannot be made one."""
    if out is None:
        return
    nearest = next(path for path in (Path(out).absolute(), *Path(out).absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise ConfigError(f"--out {out}: {nearest} is a file, not a folder. Give a folder, new or existing.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: {nearest} cannot be written to. Give another folder.")
