"""From a dataset's configuration to tensors on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnnbench.config.user_code import called
from bnnbench.data.files.root import data_root
from bnnbench.data.loading.arrays import as_tensor
from bnnbench.data.loading.opened import files_opened
from bnnbench.data.loading.preprocess import Preprocess
from bnnbench.data.loading.settings import Source, find_source, own_options, read
from bnnbench.data.loading.splits import hold_out
from bnnbench.data.loading.types import Data, Split, Targets
from bnnbench.errors import ConfigError, DataError


def check_dataset(dataset: Mapping[str, Any], ood: Sequence[str] = ()) -> Source:
    """Check a ``conf/dataset`` entry and the names of out-of-distribution sets without reading any data file.

    Returns:
        The dataset's module, which names its task.

    Raises:
        ConfigError: an unknown name or option, a wrong type, a value out of range.
    """
    source = read(dataset)[1]
    for name in ood:
        try:
            own_options(find_source(name), {}, where=name)  # with its default options
        except ConfigError as error:
            raise ConfigError(f"eval.ood: {error}") from None
    if twice := {name for name in ood if list(ood).count(name) > 1}:
        raise ConfigError(f"eval.ood: {', '.join(sorted(twice))} given twice.")
    return source


def check_targets(dataset: Mapping[str, Any], targets: Targets) -> None:
    """Check the settings of a ``conf/dataset`` entry that concern targets against the task.

    Raises:
        ConfigError: the task's targets cannot be standardised.
    """
    settings, source, _ = read(dataset)
    if settings.standardise_target is not None and not targets.standardises:
        raise ConfigError(
            f"dataset.standardise_target: '{source.name}' is {targets.name}, whose targets are not standardised. "
            "Leave it out."
        )


def load_data(
    dataset: Mapping[str, Any],
    *,
    targets: Targets,
    root: str | None,
    seed: int,
    device: torch.device,
    ood: Sequence[str] = (),
) -> Data:
    """Load, split, preprocess and move a dataset to `device`.

    Args:
        dataset: content of a ``conf/dataset/*.yaml``.
        targets: the task.
        root: folder of the files; None for the default of `data_root`.
        seed: the run's base seed; it matters only with ``valid_seed: null``. Otherwise all seeds share the split.
        device: where the tensors go.
        ood: names of datasets whose test split is wanted, preprocessed like the training set.

    Raises:
        ConfigError: see `check_dataset`; also more validation points than there are training points.
        DataError: a file is missing or wrong, or an out-of-distribution set has another input shape.
    """
    check_dataset(dataset, ood)
    with files_opened() as opened:
        data = _load(dataset, targets, data_root(root), seed, device, ood)
    return replace(data, files=tuple(opened))


def _load(
    dataset: Mapping[str, Any], targets: Targets, folder: Path, seed: int, device: torch.device, ood: Sequence[str]
) -> Data:
    settings, source, options = read(dataset)

    def raw(part: str) -> tuple[Tensor, Tensor]:
        x, y = _raw(source, folder, part, options)
        return x, targets.check(y, f"{source.name} ({part})")

    x, y = raw("train")
    valid_seed = seed % 2**32 if settings.valid_seed is None else settings.valid_seed
    kept, held = (torch.from_numpy(index) for index in hold_out(len(x), settings.valid, valid_seed))
    splits = {"train": (x[kept], y[kept]) if len(held) else (x, y)}
    if len(held):
        splits["valid"] = (x[held], y[held])
    splits["test"] = raw("test")

    prepare = Preprocess.fit(splits["train"][0], settings.divide, settings.center)
    raw_train = splits["train"][0]
    if 0 < max(raw_train.max().item(), -raw_train.min().item()) < settings.divide * 1e-38:  # less than float32 holds
        raise ConfigError(
            f"dataset.divide={settings.divide:g}: it leaves nothing of the inputs but zeros. Take dataset.divide=1."
        )
    targets = targets.fitted(splits["train"][1], settings.standardise_target)
    in_shape = tuple(x.shape[1:])

    def prepared(name: str, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != in_shape:
            raise DataError(
                f"{name}: inputs of shape {tuple(x.shape[1:])}, but those of '{source.name}' have {in_shape}. "
                "Choose a set of the same shape."
            )
        ready = prepare(x)
        if not ready.isfinite().all():
            raise DataError(
                f"{name}: inputs beyond what single precision holds once they are divided by "
                f"dataset.divide={settings.divide:g}. Take another."
            )
        return ready

    ready = {
        name: Split(prepared(f"{source.name} ({name})", x), targets.transform(y)).to(device)
        for name, (x, y) in splits.items()
    }
    strangers = {name: _raw(find_source(name), folder, "test", {}) for name in ood}  # their labels have no meaning here
    return Data(
        train=ready.pop("train"),
        evaluation=ready,
        ood={name: Split(prepared(name, x), y).to(device) for name, (x, y) in strangers.items()},
        in_shape=in_shape,
        targets=targets,
        prepare=prepare,
    )


def fetch_data(name: str, root: str | None = None) -> list[str]:
    """Download dataset `name`; return lines to print.

    Raises:
        ConfigError: no such dataset. DataError: the download failed; no partial file is left.
    """
    source, folder = find_source(name), data_root(root)
    if not hasattr(source.module, "fetch"):
        return [f"{name}: nothing to fetch."]
    with called(f"{name}: fetch(root)", kind=DataError):
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
    with called(f"{name}: verify(root)", kind=DataError):
        lines = source.module.verify(folder)
    if not isinstance(lines, list | tuple):
        raise DataError(
            f"{name}: verify(root) returned a {type(lines).__name__}; it must return lines, a list of words."
        )
    return [f"{name}: {line}" for line in lines]


def _raw(source: Source, folder: Path, part: str, options: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the dataset's raw data as tensors, checked: x [n, *shape] and y [n]."""
    where = f"{source.name} ({part})"
    with called(f"dataset.name={source.name}: load(root, {part!r})", kind=DataError):
        loaded = source.load(folder, part, **options)
    if isinstance(loaded, Split):
        loaded = loaded.x, loaded.y
    elif not isinstance(loaded, tuple | list) or len(loaded) != 2:
        size = f" of {len(loaded)}" if isinstance(loaded, tuple | list) else ""
        raise DataError(f"{where}: load() returned a {type(loaded).__name__}{size}; it must return x and y: (x, y).")
    x, y = (as_tensor(values, f"{where}: {name}") for name, values in zip("xy", loaded, strict=True))
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or x.numel() == 0:
        raise DataError(f"{where}: x [n, …], not empty, and y [n] expected, {list(x.shape)} and {list(y.shape)} found.")
    if x.is_complex() or y.is_complex():
        raise DataError(f"{where}: complex numbers. Give real ones: real and imaginary parts side by side, say.")
    if x.is_floating_point() and not x.isfinite().all():
        raise DataError(f"{where}: x has values that are not finite.")
    return x, y
