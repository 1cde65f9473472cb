"""The idx files of MNIST and its successors, in torchvision's layout ``<root>/<folder>/raw/``, plain or gzipped.

Reading needs numpy alone (torchvision takes 1.5 s to import) and only the two files of the split asked for, so a test
split alone can serve as out-of-distribution data. Counts are compared with the official ones by `verify`, not by
`load`: a small file of the right format loads.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from bnnbench.data.files.checksum import Checksum
from bnnbench.data.files.download import addresses, download, place, staging
from bnnbench.data.files.root import broken, find_file
from bnnbench.data.files.verify import existing, verify_files
from bnnbench.errors import DataError

FILES = {  # (part, what) → file name
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
COUNTS = {"train": 60_000, "test": 10_000}
SIDE = 28  # pixels
MAGIC = {"images": 0x00000803, "labels": 0x00000801}  # 08 = unsigned bytes, then the number of dimensions


@dataclass(frozen=True)
class IdxSet:
    """One of MNIST's family.

    Attributes:
        name: as typed on the command line.
        folder: below the data root; also the name of torchvision's class, which knows mirrors and checksums.
        md5: file name → published md5 of the uncompressed file, where there is one.
    """

    name: str
    folder: str
    md5: dict[str, str] = field(default_factory=dict)

    def raw(self, root: Path) -> Path:
        """Return the folder of the files."""
        return root / self.folder / "raw"


def load(root: Path, part: str, which: IdxSet) -> tuple[np.ndarray, np.ndarray]:
    """Return raw images, uint8 [n, 1, 28, 28], and labels, uint8 [n].

    Raises:
        DataError: a file is missing, truncated, of another shape, or the two do not belong together.
    """
    images = read_idx(_find(root, part, "images", which), "images", which.name)
    labels = read_idx(_find(root, part, "labels", which), "labels", which.name)
    if len(images) != len(labels):
        raise broken(which.name, which.raw(root), f"{len(images)} {part} images, but {len(labels)} labels.")
    return images[:, None], labels


def read_idx(path: Path, what: str, name: str) -> np.ndarray:
    """Return the content of an idx file: uint8 [n, 28, 28] for ``images``, uint8 [n] for ``labels``.

    Raises:
        DataError: wrong magic number, shape or length; the message says expected and found.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise broken(name, path, f"cannot be read: {error}.") from error
    dimensions = MAGIC[what] & 0xFF
    header = 4 * (1 + dimensions)  # bytes: magic number and sizes, big-endian 32-bit integers
    if len(content) < header:
        raise broken(name, path, f"a header of {header} bytes expected, {len(content)} bytes found: truncated.")
    magic, *shape = np.frombuffer(content, dtype=">u4", count=1 + dimensions).tolist()
    if magic != MAGIC[what]:
        raise broken(name, path, f"not an idx file of {what}: magic 0x{MAGIC[what]:08x} expected, 0x{magic:08x} found.")
    if what == "images" and shape[1:] != [SIDE, SIDE]:
        raise broken(name, path, f"images of {SIDE}×{SIDE} pixels expected, {shape[1]}×{shape[2]} found.")
    if len(content) != header + prod(shape):
        excess = "truncated" if len(content) < header + prod(shape) else "too long"
        sizes = "×".join(map(str, shape))
        expected = f"{header + prod(shape)} bytes expected ({sizes} and a header of {header})"
        raise broken(name, path, f"{expected}, {len(content)} found: {excess}.")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def verify(root: Path, which: IdxSet) -> list[str]:
    """Check every file that is there: published md5 where there is one, else format, shape and official count."""
    checks = {file: partial(_check, file=file, which=which) for file in FILES.values()}
    return verify_files(which.name, which.raw(root), checks)


def fetch(root: Path, which: IdxSet) -> None:
    """Download what is absent or wrong, from torchvision's mirrors with torchvision's checksums, and unpack it.

    Raises:
        DataError: see `bnnbench.data.files.download.download`.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import extract_archive

    source = getattr(datasets, which.folder)
    with staging(root) as staged:
        for packed, md5 in source.resources:
            file = packed.removesuffix(".gz")
            if _complete(root, file, which):
                continue
            urls = addresses(source.mirrors, which.folder, packed)
            archive = download(urls, staged, Checksum("md5", md5), name=which.name)
            extract_archive(str(archive), str(staged))
            place(staged / file, which.raw(root) / file)


def _find(root: Path, part: str, what: str, which: IdxSet) -> Path:
    file = FILES[part, what]
    return find_file(which.name, which.raw(root), [file, file + ".gz"])


def _check(path: Path, file: str, which: IdxSet) -> str:
    """Return a line saying what was checked and holds for `file`, which lies at `path`; raise DataError otherwise."""
    part, what = next(key for key, value in FILES.items() if value == file)
    shape = read_idx(path, what, which.name).shape
    if shape[0] != COUNTS[part]:
        raise broken(which.name, path, f"{COUNTS[part]} {what} expected, {shape[0]} found.")
    sizes = "×".join(map(str, shape))
    if path.name not in which.md5:
        return f"{sizes}, the official count"
    return f"{sizes}, {Checksum('md5', which.md5[path.name]).check(path, which.name)}"


def _complete(root: Path, file: str, which: IdxSet) -> bool:
    path = existing(which.raw(root), file)
    try:
        return path is not None and bool(_check(path, file, which))
    except DataError:
        return False
