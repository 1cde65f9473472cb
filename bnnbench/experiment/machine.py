"""The machine of a run: device, threads, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch

from bnnbench.config.plugins import PACKAGE
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.experiment.cores import usable_cores

MOST_THREADS = 4096  # as of the setting `threads`
SHARE = "BNNBENCH_SHARE"  # set where $OMP_NUM_THREADS is a process's share of the cores in a sweep


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is the first GPU if there is one.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        usable = device.type in ("cpu", "cuda")  # metrics are computed in double precision, which other devices lack
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        usable = False
    if not usable:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ConfigError(
            f"device={name}: not available here. Take device=auto, or one of {', '.join(here)}."
        ) from None
    return device


def set_threads(threads: Literal["auto"] | int) -> int:
    """Set and return the number of CPU threads of torch; see `threads_for`."""
    count = threads_for(threads)
    torch.set_num_threads(count)
    return count


def threads_for(threads: Literal["auto"] | int) -> int:
    """Return the number of threads; ``auto`` is OMP_NUM_THREADS, or else every core that the process may use."""
    if threads != "auto":
        return threads
    return chosen_outside() or usable_cores()


def chosen_outside() -> int | None:
    """Return $OMP_NUM_THREADS if it is a number of threads."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    count = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    return count if 1 <= count <= MOST_THREADS else None


def threads_given() -> bool:
    """Whether $OMP_NUM_THREADS is the user's own choice."""
    return chosen_outside() is not None and SHARE not in os.environ


def synchronise(device: torch.device) -> None:
    """Wait for the device to finish its work, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """Return the manifest's entries about machine, versions and commit."""
    return {
        "versions": {
            "bnnbench": version("bnnbench"),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "hydra-core")},
            "numba": _numba(),
        },
        "device": str(device),
        "device_name": _device_name(device),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "git_commit": _commit(),
    }


def _numba() -> str | None:
    """Return the version of numba; None without it, where steps take the plain formulas."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return None


def moved(manifest: Mapping[str, Any], device: torch.device, threads: int) -> str | None:
    """Return in words what rounding depends on and is no longer as the `manifest` of a run says; None if nothing."""
    versions = manifest.get("versions")
    before = {**manifest, "torch": versions.get("torch") if isinstance(versions, Mapping) else None}
    present = {"torch": version("torch"), "threads": threads, "device_name": _device_name(device)}
    words = [
        f"{key.replace('_', ' ')} {before[key]}, now {value}"
        for key, value in present.items()
        if before.get(key) not in (None, value)
    ]
    return "; ".join(words) or None


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn what Python and torch raise where memory runs out into a BnnbenchError that says how to need less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = (str(error).splitlines() or [""])[0]
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in said:
            what = said.partition("can't allocate memory: ")[2] or said
            raise BnnbenchError(
                f"not enough memory ({what.strip() or type(error).__name__}).\n"
                "Take a smaller model, fewer chains, or a smaller batch_size or eval.batch_size."
            ) from error
        raise


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of the source checkout, with ``+`` if files differ from it; None outside a checkout."""
    package = PACKAGE

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(package), *words], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    # An installed package may lie inside somebody else's checkout (a virtual environment): that commit is not ours.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = git("rev-parse", "HEAD")
    return None if head is None else head.strip() + ("+" if git("status", "--porcelain", "-uno") else "")
