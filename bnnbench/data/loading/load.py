"""From a dataset's configuration to tensors on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnnbench.data.files.root import data_root
from bnnbench.data.loading.preprocess import Preprocess, target_statistics
from bnnbench.data.loading.settings import Source, find_source, own_options, read
from bnnbench.data.loading.splits import hold_out
from bnnbench.data.loading.types import Data, Split
from bnnbench.errors import ConfigError, DataError


def check_dataset(dataset: Mapping[str, Any], ood: Sequence[str] = ()) -> None:
    """Check a ``conf/dataset`` entry and the names of out-of-distribution sets without reading any data file.

    Raises:
        ConfigError: an unknown name or option, a wrong type, a value out of range.
    """
    read(dataset)
    for name in ood:
        try:
            own_options(find_source(name), {}, where=name)  # its options take their defaults
        except ConfigError as error:
            raise ConfigError(f"eval.ood: {error}") from None
    if twice := {name for name in ood if list(ood).count(name) > 1}:
        raise ConfigError(f"eval.ood: {', '.join(sorted(twice))} given twice.")


def load_data(
    dataset: Mapping[str, Any], *, root: str | None, seed: int, device: torch.device, ood: Sequence[str] = ()
) -> Data:
    """Load, split, preprocess and move a dataset to `device`.

    Args:
        dataset: content of a ``conf/dataset/*.yaml``.
        root: folder of the files; None for the default of `data_root`.
        seed: the run's base seed; it matters only with ``valid_seed: null``. Otherwise all seeds share the split.
        device: where the tensors go.
        ood: names of datasets whose test split is wanted, preprocessed like the training set.

    Raises:
        ConfigError: see `check_dataset`; also more validation points than there are training points.
        DataError: a file is missing or wrong, or an out-of-distribution set has another input shape.
    """
    check_dataset(dataset, ood)
    settings, source, options = read(dataset)
    folder = data_root(root)

    x, y = _raw(source, folder, "train", options)
    valid_seed = seed % 2**32 if settings.valid_seed is None else settings.valid_seed
    kept, held = (torch.from_numpy(index) for index in hold_out(len(x), settings.valid, valid_seed))
    splits = {"train": (x[kept], y[kept]) if len(held) else (x, y)}
    if len(held):
        splits["valid"] = (x[held], y[held])
    splits["test"] = _raw(source, folder, "test", options)

    prepare = Preprocess.fit(splits["train"][0], settings.divide, settings.center)
    mean, std = 0.0, 1.0
    if source.task == "regression" and settings.standardise_target is not False:
        mean, std = target_statistics(splits["train"][1])
    in_shape = tuple(x.shape[1:])

    def finish(name: str, x: Tensor, y: Tensor) -> Split:
        if tuple(x.shape[1:]) != in_shape:
            raise DataError(
                f"{name}: inputs of shape {tuple(x.shape[1:])}, but those of '{source.name}' have {in_shape}. "
                "Choose a set of the same shape."
            )
        return Split(prepare(x), y if not y.is_floating_point() else ((y - mean) / std).float()).to(device)

    ready = {name: finish(f"{source.name} ({name})", *split) for name, split in splits.items()}
    return Data(
        task=source.task,
        train=ready.pop("train"),
        evaluation=ready,
        ood={name: finish(name, *_raw(find_source(name), folder, "test", {})) for name in ood},
        num_classes=source.classes,
        in_shape=in_shape,
        target_mean=mean,
        target_std=std,
    )


def fetch_data(name: str, root: str | None = None) -> list[str]:
    """Download dataset `name`; return lines to print.

    Raises:
        ConfigError: no such dataset. DataError: the download failed; nothing is left half done.
    """
    source, folder = find_source(name), data_root(root)
    if not hasattr(source.module, "fetch"):
        return [f"{name}: nothing to fetch."]
    source.module.fetch(folder)
    return [f"{name}: fetched into {folder}"]


def verify_data(name: str, root: str | None = None) -> list[str]:
    """Check the files of dataset `name`; return lines saying what was checked.

    Raises:
        ConfigError: no such dataset. DataError: a file is missing or wrong.
    """
    source, folder = find_source(name), data_root(root)
    if not hasattr(source.module, "verify"):
        return [f"{name}: has no checks of its own."]
    return [f"{name}: {line}" for line in source.module.verify(folder)]


def _raw(source: Source, folder: Path, part: str, options: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return what the dataset's ``load`` gives as tensors: x as it is [n, *shape], y int64 or float64 [n], checked."""
    loaded = source.load(folder, part, **options)
    x, y = (loaded.x, loaded.y) if isinstance(loaded, Split) else loaded
    # torch.tensor copies: arrays read from a buffer are read-only, which tensors cannot express.
    x, y = (a if isinstance(a, Tensor) else torch.tensor(a) for a in (x, y))
    where = f"{source.name} ({part})"
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or len(x) == 0:
        raise DataError(f"{where}: x [n, …] and y [n] with n > 0 expected, {list(x.shape)} and {list(y.shape)} found.")
    if x.is_floating_point() and not x.isfinite().all():
        raise DataError(f"{where}: x has values that are not finite.")
    if source.task == "regression":
        if not y.isfinite().all():
            raise DataError(f"{where}: y has values that are not finite.")
        return x, y.double()
    if y.is_floating_point():
        raise DataError(f"{where}: integer labels expected, {y.dtype} found.")
    if y.min() < 0 or y.max() >= (source.classes or 0):
        found = f"{y.min().item()}…{y.max().item()}"
        raise DataError(f"{where}: labels in 0…{(source.classes or 0) - 1} expected, {found} found.")
    return x, y.long()
