"""What a run's numbers come from beside its settings: files of data, the user's own code, and the run to start from.

Are they still the same? A manifest keeps size, time of change and SHA-256 of each. A file of the same size and time is
taken for the same; else its digest decides. Nothing is imported for it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bnnbench.store import checkpoint

KEY = "sources"  # of the manifest
ENVIRONMENT = "BNNBENCH_DATA"


def modules_of(config: Mapping[str, Any]) -> list[str]:
    """Return the modules behind the dotted names in a configuration, and those loaded from the same packages.

    What is installed, such as torchvision, has a version instead.
    """
    named = {name.partition(".")[0] for name in _dotted(config)}
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("stdlib")]
    found = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] not in named or not file or not file.endswith(".py") or not Path(file).is_file():
            continue
        if not any(Path(file).is_relative_to(folder) for folder in installed):
            found.append(name)
    return found


def names_code(config: Mapping[str, Any]) -> bool:
    """Whether a configuration has a dotted name, behind which code of the user's may be."""
    return any(True for _ in _dotted(config))


def record(files: Iterable[str], modules: Iterable[str], root: Path, start: str | None = None) -> list[dict[str, Any]]:
    """Return what the manifest keeps of the sources of a run.

    Args:
        files: of data; those below `root` are kept by their place in it.
        modules: of code.
        root: the data's folder.
        start: the folder of the run whose parameters this one starts from.
    """
    kept = []
    for file in files:
        path, base = Path(file), Path(os.path.abspath(root))
        if path.is_relative_to(base):
            kept.append({"file": path.relative_to(base).as_posix(), "root": str(base), **_facts(path)})
        else:
            kept.append({"file": str(path), **_facts(path)})
    for name in modules:
        path = Path(str(sys.modules[name].__file__))
        kept.append({"module": name, "file": str(path), **_facts(path)})
    if start is not None and (path := Path(os.path.abspath(os.path.expanduser(start)), checkpoint.NAME)).is_file():
        kept.append({"start": True, "file": str(path), **_facts(path)})
    return kept


def digest(manifest: Mapping[str, Any], data_alone: bool = False) -> str | None:
    """Return 8 hexadecimal digits for the content of all sources, or of the data files; None where none is recorded.

    A run to start from is not among them: it may be another for every seed.
    """
    kept = [one for one in _sound(manifest) if not (one.get("start") or (data_alone and one.get("module")))]
    if not kept:
        return None
    content = sorted((str(one.get("module") or Path(one["file"]).name), one["sha256"]) for one in kept)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:8]


def changed(manifest: Mapping[str, Any], root: str | None) -> str | None:
    """Return the first source that is no longer what it was when the run with this `manifest` read it, in words.

    A file that is not there any more says nothing: results outlive their data.

    Args:
        manifest: of the run.
        root: ``data.root`` of the present configuration.
    """
    for one in _sound(manifest):
        path = _place(one, root)
        try:
            if not path.is_file():
                continue
            at = path.stat()
            if (at.st_size, at.st_mtime_ns) == (one.get("bytes"), one.get("mtime_ns")):
                continue
            if at.st_size != one.get("bytes") or _sha256(str(path), at.st_size, at.st_mtime_ns) != one["sha256"]:
                return str(path)
        except OSError:
            continue
    return None


def _place(one: Mapping[str, Any], root: str | None) -> Path:
    """Return where a source lies now: a module where Python would find it, data below the present folder of data."""
    if isinstance(one.get("module"), str):
        parts = one["module"].replace(".", "/")
        for folder in (*sys.path, os.getcwd()):
            for name in (f"{parts}/__init__.py", f"{parts}.py"):
                if (path := Path(folder, name)).is_file():
                    return path
    elif isinstance(one.get("root"), str):
        now = root or os.environ.get(ENVIRONMENT) or one["root"]
        return Path(os.path.expanduser(now), one["file"])
    return Path(one["file"])


def _sound(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    kept = manifest.get(KEY)
    return [
        one
        for one in (kept if isinstance(kept, list) else [])
        if isinstance(one, Mapping) and isinstance(one.get("file"), str) and isinstance(one.get("sha256"), str)
    ]


def _dotted(node: Any) -> Iterable[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "name" or isinstance(value, Mapping | list):
                yield from _dotted(value)
    elif isinstance(node, list):
        for value in node:
            yield from _dotted(value)
    elif isinstance(node, str) and "." in node and all(part.isidentifier() for part in node.split(".")):
        yield node


def _facts(path: Path) -> dict[str, Any]:
    at = path.stat()
    digest = _sha256(str(path), at.st_size, at.st_mtime_ns)
    return {"bytes": at.st_size, "mtime_ns": at.st_mtime_ns, "sha256": digest}


@functools.cache
def _sha256(path: str, size: int, _mtime_ns: int) -> str:
    if size == 0:  # such as a file of /proc, which could be read without end
        return hashlib.sha256().hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
