"""The folder that a case runs in, with a copy of ready results, and how cases change what lies there."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MARK = "executed"  # the file that planted code makes
PLANTED = "import pathlib; pathlib.Path({mark!r}).touch()\n"
READY = {  # runs that every case finds in {results}
    "psgld": ("method=psgld",),
    "sgld": ("method=sgld", "chains=2"),
    "sparse": ("method=sparse_vd",),
}
QUICK = ("model.widths=[4]", "iterations=4", "eval.every=2", "threads=1", "name=ready", "checkpoint_every=0")


@dataclass(frozen=True)
class Place:
    """The folder of a case: {tmp} with {results}, and in these the runs of `READY`."""

    tmp: Path

    @property
    def results(self) -> Path:
        return self.tmp / "results"

    @property
    def mark(self) -> Path:
        return self.tmp / MARK

    def folders(self) -> dict[str, Path]:
        """Return what {…} in a command line stands for."""
        made = next(iter(sorted(self.results.glob("adhoc/*"))), self.results / "adhoc" / "none")
        return {
            "tmp": self.tmp,
            "results": self.results,
            "adhoc": made,
            **{name: self.run(name) for name in READY},
        }

    def run(self, name: str) -> Path:
        """Return the folder of a ready run."""
        pattern = {"sparse": "*-sparse_vd-*"}.get(name, f"*-{name}-*")
        found = sorted((self.results / "ready").glob(pattern))
        return found[0] if found else self.results / "ready" / name

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file below {tmp}."""
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    def plant(self, name: str) -> Path:
        """Write a Python file that makes the mark when it is imported."""
        return self.write(name, PLANTED.format(mark=str(self.mark)))

    def package(self, **modules: str) -> None:
        """Write the package `mine` of the user's own."""
        for name, source in {"__init__": "", **modules}.items():
            self.write(f"mine/{name}.py", source)

    def copy(self, name: str, new: str) -> Path:
        """Copy a ready run to a folder beside it."""
        return Path(shutil.copytree(self.run(name), self.results / "ready" / new))

    def bnnbench(self, *words: str) -> None:
        """Run a command first, whose output nobody sees."""
        from bnnbench.cli.app import app

        silent = io.StringIO()
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            try:
                app(list(words))
            except SystemExit as left:
                assert not left.code, silent.getvalue()


def change_config(folder: Path, **values: Any) -> None:
    """Set keys of config.yaml; a double underscore stands for a dot."""
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    for key, value in values.items():
        *sections, last = key.split("__")
        part = config
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), "utf-8")


def change_manifest(folder: Path, **values: Any) -> None:
    """Set keys of manifest.json."""
    content = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps(content | values), "utf-8")


def change_table(folder: Path, change: Callable[[dict[str, str]], Any]) -> None:
    """Change each row of metrics.csv in place."""
    with (folder / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        change(row)
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's metrics.csv."""
    with (folder / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def newest_run(place: Place) -> Path:
    """Return the folder that the case's own run has made."""
    runs = [path.parent for path in place.results.glob("*/*/metrics.csv") if path.parent.parent.name != "ready"]
    assert runs, "no run was made"
    return max(runs, key=lambda folder: (folder / "metrics.csv").stat().st_mtime_ns)


def config(name: str, **values: Any) -> Callable[[Place], None]:
    """Return a setup that changes config.yaml of a ready run."""
    return lambda place: change_config(place.run(name), **values)


def manifest(name: str, **values: Any) -> Callable[[Place], None]:
    """Return a setup that changes manifest.json of a ready run."""
    return lambda place: change_manifest(place.run(name), **values)


def cells(name: str, **values: str) -> Callable[[Place], None]:
    """Return a setup that sets columns of metrics.csv of a ready run."""
    return lambda place: change_table(place.run(name), lambda row: row.update(values))


def text(name: str, file: str, change: Callable[[str], str | bytes]) -> Callable[[Place], None]:
    """Return a setup that rewrites a file of a ready run."""

    def setup(place: Place) -> None:
        path = place.run(name) / file
        path.write_bytes(_bytes(change(path.read_text("utf-8"))))

    return setup


def files(**contents: str | bytes) -> Callable[[Place], None]:
    """Return a setup that writes files; a double underscore stands for a slash, and one at the end for .yaml."""

    def setup(place: Place) -> None:
        for name, content in contents.items():
            place.write(name.replace("__", "/") + ".yaml", content)

    return setup


def package(**modules: str) -> Callable[[Place], None]:
    """Return a setup that writes the user's package `mine`."""
    return lambda place: place.package(**modules)


def both(*setups: Callable[[Place], Any]) -> Callable[[Place], None]:
    """Return a setup that does one after the other."""

    def setup(place: Place) -> None:
        for one in setups:
            one(place)

    return setup


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
