"""per_datum.npz: what each datum of the evaluated splits contributes to the scores that a run ends with.

One array of single precision per split, predictor, chain and measure, named ``test/posterior/all/nll``: N numbers in
the order of the split, whose mean (of ``rmse``: whose mean's root) is the score in the last rows of metrics.csv.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnnbench.store import files

NAME = "per_datum.npz"
Key = tuple[str, str, str]  # split, predictor, chain
Scores = Mapping[Key, Mapping[str, Any]]  # → measure → values [N], a tensor or an array


def write(folder: Path, scores: Scores) -> None:
    """Replace the file in `folder`."""
    arrays = {
        "/".join((*key, measure)): np.asarray(values.cpu(), dtype=np.float32)
        for key, measures in scores.items()
        for measure, values in measures.items()
    }
    with files.replacing(folder / NAME) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # its stub takes a bool for any keyword


def read(folder: Path, split: str, predictor: str, measure: str) -> dict[str, np.ndarray]:
    """Return chain → values [N]; {} where the run in `folder` has none, or a damaged file."""
    first, last = f"{split}/{predictor}/", f"/{measure}"
    try:
        with np.load(folder / NAME, allow_pickle=False) as stored:
            names = [name for name in stored.files if name.startswith(first) and name.endswith(last)]
            found = {name[len(first) : -len(last)]: stored[name] for name in names}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        MemoryError,
        RuntimeError,
        NotImplementedError,
    ):
        return {}
    return {k: v.astype(np.float64) for k, v in found.items() if v.ndim == 1 and v.dtype.kind == "f" and "/" not in k}
