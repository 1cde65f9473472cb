"""checkpoint.pt: the state of a run, to continue it or to predict with it; the one before it is kept until the end.

Torch is loaded when a file is read or written, not before.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.errors import BnnbenchError
from bnnbench.store.files import replacing
from bnnbench.store.schema import SCHEMA, schema_of

if TYPE_CHECKING:
    import torch

NAME, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
PARTS = (
    "iteration",  # steps made
    "rows",  # of the last evaluation
    "seconds",  # of training and evaluation
    "device",  # its kind
    "chains",  # parameters and buffers of all networks
    "chain_count",
    "optimizer",
    "noise",  # streams of the samplers' noise
    "layer_stream",  # that of the layers' noise
    "approximation",  # sums of the posterior mean
    "csv_bytes",  # the length of metrics.csv up to that evaluation
)
# What torch and pickle raise over a file that is damaged or another program's.
UNREADABLE = (RuntimeError, OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError)


# And zipfile, over a header with a flipped bit.
NO_ARCHIVE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError, EOFError)


class DamagedError(BnnbenchError):
    """A file that cannot be read, or that lacks parts."""


def read(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Return the checkpoint at `path` in the present format, its tensors on `device`.

    Raises:
        FileNotFoundError: no such file.
        DamagedError: it cannot be read, or lacks one of `PARTS`.
        BnnbenchError: a later version of bnnbench has written it.
    """
    content = load(path, device)
    if isinstance(content, dict):
        schema_of(content, path)
        content = current(content)
    if not isinstance(content, dict) or not content.keys() >= set(PARTS) or not _sound(content):
        raise DamagedError(f"{path} is damaged and cannot be read. Run it once more.")
    return content


def _sound(content: Mapping[str, Any]) -> bool:
    """Whether the parts that are read here, and not by their owners, are of the kind that is written."""
    chains = content["chains"]
    counts = [content[name] for name in ("iteration", "chain_count", "csv_bytes")]
    return (
        all(isinstance(count, int) and count >= 0 for count in counts)
        and isinstance(content["rows"], list)
        and isinstance(chains, dict)
        and all(isinstance(chains.get(name), dict) for name in ("parameters", "buffers"))
    )


def current(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint of any format up to `SCHEMA` in the present one."""
    content = {**checkpoint, "schema": SCHEMA}
    if "schema" not in checkpoint:
        for old, new in (("update", "optimizer"), ("evaluator", "approximation")):
            if old in content:
                content[new] = content.pop(old)
    return content


def resumable(folder: Path, table_bytes: int) -> tuple[dict[str, Any] | None, str]:
    """Return the newest checkpoint in `folder` to continue from, and what was amiss with others, in a line.

    Args:
        folder: of the run.
        table_bytes: the length of its metrics.csv; a checkpoint that counts on more rows is of no use.
    """
    present = [name for name in (NAME, PREVIOUS) if (folder / name).is_file()]
    for name in present:
        try:
            checkpoint = read(folder / name)
        except (DamagedError, FileNotFoundError):
            continue
        if checkpoint["csv_bytes"] <= table_bytes:
            return checkpoint, "" if name == present[0] else f"{NAME} is damaged: going on from the one before it"
    if not present:
        return None, ""
    return None, f"{' and '.join(present)} cannot be continued from (damaged, or rows are missing): starting anew"


def write(folder: Path, state: Mapping[str, Any]) -> None:
    """Make `state` the newest checkpoint in `folder`, and keep the one before it.

    A machine that loses its power can leave a file that was renamed and yet not written.

    Raises:
        OSError: the disk is full.
    """
    newest = folder / NAME
    with replacing(newest) as partial:
        _dump({"schema": SCHEMA, **state}, partial, NAME)
        if newest.is_file():
            os.replace(newest, folder / PREVIOUS)


def load(path: Path, device: str | torch.device = "cpu") -> Any:
    """Return what `save` has written to `path`; no code that it names is run.

    Raises:
        FileNotFoundError: no such file.
        DamagedError: it cannot be read.
    """
    import torch

    _check_sums(path)
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except UNREADABLE:
        raise DamagedError(f"{path} is damaged and cannot be read. Run it once more.") from None


def _check_sums(path: Path) -> None:
    """Compare the content of a file of torch with the checksums in it, which torch does not look at.

    Raises:
        FileNotFoundError: no such file.
        DamagedError: it is not what was written.
    """
    if path.exists() and not path.is_file():  # a pipe would keep us waiting
        raise DamagedError(f"{path} is no file. Run it once more.")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except FileNotFoundError:
        raise
    except (OSError, *NO_ARCHIVE) as error:
        raise DamagedError(f"{path} is damaged and cannot be read. Run it once more.") from error
    if broken is not None:
        raise DamagedError(f"{path} is damaged: {broken} is not what was written. Run it once more.")


def save(content: Any, target: Path) -> None:
    """Replace the file `target` by `content`, tensors and plain values.

    Raises:
        OSError: the disk is full.
    """
    with replacing(target) as partial:
        _dump(content, partial, target.name)


def _dump(content: Any, path: Path, name: str) -> None:
    import torch

    try:
        with path.open("wb") as stream:  # given a path, torch would write its name into the file
            torch.save(content, stream)
    except RuntimeError as error:  # how torch reports that the disk is full
        raise OSError(f"{name} could not be written ({str(error).splitlines()[0]})") from error
