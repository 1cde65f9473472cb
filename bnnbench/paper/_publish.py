"""Publishes a figure: the small files of its runs, the drawing, the text below it, the block of the README."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bnnbench.errors import BnnbenchError
from bnnbench.paper._figure import Figure
from bnnbench.paper._runs import status
from bnnbench.publishing.blocks import with_block
from bnnbench.store import files, per_datum
from bnnbench.store.manifest import RunStatus

PUBLISHED = Path("results/published")
QUICK = Path("results/quick")
README = Path("README.md")
FILES = ("config.yaml", "manifest.json", "metrics.csv")
FILES_OF_SOME = ("sparsity.csv", per_datum.NAME)


def publish(name: str, figure: Figure, runs: Sequence[Path], quick: bool = False) -> list[Path]:
    """Collect the small files of `runs`, draw, write the text, and return the files written.

    They are ``NAME.png``, ``NAME.md`` and the folder ``NAME`` below results/published; the block of the README is
    replaced as well. The quick version goes below results/quick/NAME and leaves the README alone.

    Raises:
        BnnbenchError: a run is not finished, or the README's block has no end; nothing was changed.
    """
    unfinished = [str(folder) for folder in runs if status(folder) != RunStatus.FINISHED]
    if unfinished:
        raise BnnbenchError(f"{name}: not finished: {', '.join(unfinished)}. Run them to their end first.")
    base = QUICK / name if quick else PUBLISHED
    partial, kept = base / f".{name}.partial", base / name
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for folder in runs:
            _copy(folder, partial / folder.parent.name / folder.name)
        partial.mkdir(parents=True, exist_ok=True)
        if figure.compute is not None:
            figure.compute(partial, quick)
        written = _show(name, figure, partial, base, quick)
        shutil.rmtree(kept, ignore_errors=True)
        partial.rename(kept)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [kept, *written]


def redraw(name: str, figure: Figure) -> list[Path]:
    """Redraw what is published, rewrite its text, and return the files written.

    Raises:
        BnnbenchError: nothing is published.
    """
    folder = PUBLISHED / name
    if not folder.is_dir():
        raise BnnbenchError(f"{folder}: not there, so there is nothing to draw from. Run: make figures FIG={name}")
    return _show(name, figure, folder, PUBLISHED, quick=False)


def _copy(run: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for file in (*FILES, *FILES_OF_SOME):
        if file in FILES or (run / file).is_file():
            shutil.copy(run / file, target / file)


def _show(name: str, figure: Figure, data: Path, base: Path, quick: bool) -> list[Path]:
    """Draw from `data`, write drawing and text into `base`, and the text into the README unless `quick`."""
    from bnnbench.analysis.plots import style
    from bnnbench.paper._tables import text

    title = f"{figure.title} (quick)" if quick else figure.title
    below = text(figure, data, title, f"{name}.png", quick)
    readme = None
    if not quick and README.is_file():
        readme = with_block(README.read_text("utf-8"), name, text(figure, data, title, f"{base.as_posix()}/{name}.png"))
    drawn = figure.draw(data, title)
    image, words = base / f"{name}.png", base / f"{name}.md"
    with files.replacing(image) as partial, style.applied():
        drawn.savefig(partial, format="png", metadata=style.METADATA["png"])
    files.write(words, below)
    if readme is not None:
        files.write(README, readme)
    return [image, words]
