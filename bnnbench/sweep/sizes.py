"""The numbers of training data of a sweep's runs, read before it starts; code of the user's in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from bnnbench.errors import ConfigError


class Sizes:
    """Dataset → N, each read once; None where it cannot be read, which fails its own run and no other."""

    def __init__(self) -> None:
        self._read: dict[str, int | ConfigError | None] = {}

    def of(self, raw: Mapping[str, Any]) -> int | None:
        """Return N of the resolved configuration `raw`.

        Raises:
            ConfigError: settings of its dataset that do not fit the data.
        """
        from bnnbench.experiment.assembly import check, data_key

        config = check(raw)
        key = data_key(config)
        if key not in self._read:
            # A loader of the user's may end its process, by a signal too; it must not be the sweep's.
            self._read[key] = _apart(raw) if "." in str(config.dataset["name"]) else read(raw)
        found = self._read[key]
        if isinstance(found, ConfigError):
            raise found
        return found


def read(raw: Mapping[str, Any]) -> int | ConfigError | None:
    """Return N of the resolved configuration `raw`, or the error in its settings; None where it cannot be read."""
    from bnnbench.experiment.assembly import check, read_size

    try:
        return read_size(check(raw))
    except ConfigError as error:
        return error
    except Exception:  # missing data, or a faulty reader
        return None


def _apart(raw: Mapping[str, Any]) -> int | ConfigError | None:
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(read, dict(raw)).result()
        except BrokenProcessPool:
            return None
