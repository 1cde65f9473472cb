"""Downloads that leave either the whole, checked file or nothing.

torchvision transfers and unpacks (and brings the mirrors and checksums of its datasets); this module adds the staging
folder, a time limit and errors that name the file, each address tried and what was wrong with it.

``BNNBENCH_MIRROR=http://host/folder`` takes all files from ``http://host/folder/<set>/<file>`` instead of the sets' own
addresses, for machines behind a proxy or a cluster's internal copy. Checksums stay the published ones.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import HTTPError, URLError

from bnnbench.data.files.checksum import Checksum
from bnnbench.errors import DataError

TIMEOUT = 30.0  # seconds without a byte before an address counts as dead; torchvision itself would wait forever


def addresses(bases: Sequence[str], folder: str, file: str) -> list[str]:
    """Return the URLs of `file`: below each of `bases`, or below `folder` of ``$BNNBENCH_MIRROR`` if that is set."""
    if mirror := os.environ.get("BNNBENCH_MIRROR"):
        return [f"{mirror.rstrip('/')}/{folder}/{file}"]
    return [f"{base.rstrip('/')}/{file}" for base in bases]


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Yield an empty folder inside `root` (same file system, so a move out of it is atomic); it is removed at exit."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".fetch-", dir=root))
    except OSError as error:
        raise DataError(
            f"{root}: cannot write there ({error.strerror}). Choose another folder: --root …, or BNNBENCH_DATA"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def download(urls: Sequence[str], staged: Path, checksum: Checksum, *, name: str, progress: bool = True) -> Path:
    """Download the first of `urls` that answers with the right content into the folder `staged`; return the file.

    Args:
        urls: addresses of one file, tried in order.
        staged: a folder from `staging`.
        checksum: what the file must have.
        name: the dataset, for messages.
        progress: show torchvision's progress bar.

    Raises:
        DataError: no address gave the file; one line each says why.
    """
    target = staged / urls[0].rpartition("/")[2]
    problems = []
    for url in urls:
        problem = _transfer(url, target, progress) or checksum.problem(target)
        if problem is None:
            return target
        problems.append(f"  {url}: {problem}")
    raise DataError("\n".join([f"{name}: could not download {target.name}; no part of it is kept.", *problems]))


def place(staged: Path, target: Path) -> None:
    """Move a finished file into its place, in one step; the folder is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(staged, target)


def _transfer(url: str, target: Path, progress: bool) -> str | None:
    """Write what `url` answers to `target`; return what went wrong, or None."""
    from torchvision.datasets.utils import download_url  # 1.5 s to import, so only where something is downloaded

    target.unlink(missing_ok=True)  # torchvision takes a file that is there for the one asked for
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.nullcontext() if progress else contextlib.redirect_stderr(io.StringIO()):
            download_url(url, target.parent, filename=target.name)
    except HTTPError as error:
        return f"the server answers {error.code} {error.reason}."
    except URLError as error:
        return f"no connection ({error.reason})."
    except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}."
    finally:
        socket.setdefaulttimeout(before)
    return None
