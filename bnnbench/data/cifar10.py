"""CIFAR-10 (Krizhevsky 2009): 50 000 train and 10 000 test colour images of 32×32 pixels.

Files as torchvision leaves them: the pickled batches in ``<root>/cifar-10-batches-py``.
"""

from __future__ import annotations

import contextlib
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnnbench.data.files.checksum import Checksum
from bnnbench.data.files.download import addresses, download, place, staging
from bnnbench.data.files.root import broken, find_file
from bnnbench.data.files.verify import verify_files
from bnnbench.errors import DataError

TASK = "classification"
CLASSES = 10
FOLDER = "cifar-10-batches-py"
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
PIXELS = 3 * 32 * 32  # of one image: all red values, all green, all blue


def load(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return raw images, uint8 [n, 3, 32, 32] in 0…255, and labels, int64 [n].

    Raises:
        DataError: a batch is missing, truncated or of another shape.
    """
    batches = [_read_batch(find_file("cifar10", root / FOLDER, [file])) for file in BATCHES[part]]
    images = np.concatenate([images for images, _ in batches])
    return images.reshape(-1, 3, 32, 32), np.concatenate([labels for _, labels in batches])


def fetch(root: Path) -> None:
    """Download and unpack the archive (170 MB) to ``<root>/cifar-10-batches-py``, unless all is there."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import extract_archive

    if all((root / FOLDER / file).is_file() for part in BATCHES.values() for file in part):
        with contextlib.suppress(DataError):  # a wrong file is fetched again
            verify(root)
            return
    with staging(root) as staged:
        base, _, file = CIFAR10.url.rpartition("/")
        checksum = Checksum("md5", CIFAR10.tgz_md5)
        archive = download(addresses([base], "cifar10", file), staged, checksum, name="cifar10")
        extract_archive(str(archive), str(staged))
        for path in sorted((staged / FOLDER).iterdir()):
            place(path, root / FOLDER / path.name)


def verify(root: Path) -> list[str]:
    """Check the md5 of the batches that are there against torchvision's."""
    from torchvision.datasets import CIFAR10

    md5s = [*CIFAR10.train_list, *CIFAR10.test_list]
    checks = {file: partial(Checksum("md5", md5).check, name="cifar10") for file, md5 in md5s}
    return verify_files("cifar10", root / FOLDER, checks)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles containers and numpy arrays only: anything else that a pickle names could run its author's code."""

    allowed = frozenset({("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.allowed:
            return super().find_class(module, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            from numpy.lib import NumpyVersion  # this private module moved in numpy 2

            moved = NumpyVersion(np.__version__) >= "2.0.0"
            return super().find_class("numpy._core.multiarray" if moved else "numpy.core.multiarray", name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data batch")


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 [n, 3072], and labels, int64 [n], of one batch."""
    try:
        with path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="latin1").load()  # written by Python 2
        images, labels = np.asarray(batch["data"]), np.asarray(batch["labels"], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise broken("cifar10", path, f"not a whole data batch: {error}.") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), PIXELS):
        found = f"{images.dtype} {list(images.shape)} and {len(labels)} labels"
        raise broken("cifar10", path, f"uint8 [n, {PIXELS}] and n labels expected, {found} found.")
    return images, labels
