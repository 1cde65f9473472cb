"""``python -m bnnbench.paper``: run what figures are missing, draw and publish them. See `bnnbench.paper`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bnnbench.errors import BnnbenchError
from bnnbench.paper._figure import Figure, figures, load_figure
from bnnbench.paper._publish import PUBLISHED, QUICK, publish, redraw
from bnnbench.paper._runs import run_missing

RESULTS = Path("results")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; return the exit code: 0, 1 if a figure could not be made, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bnnbench.paper", description="Figures of papers, from their runs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(figures())}")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="at reduced budget, below results/quick")
    how.add_argument("--draw", action="store_true", help="only redraw, from results/published")
    given = parser.parse_args(arguments)
    try:
        chosen = {name: load_figure(name) for name in dict.fromkeys(given.names or figures())}
        return _draw(chosen, named=bool(given.names)) if given.draw else _make(chosen, given.quick)
    except BnnbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command continues from here", file=sys.stderr)
        return 130


def _make(chosen: dict[str, Figure], quick: bool) -> int:
    """Run what all figures are missing, then publish: a run after that would find, and record, a changed checkout."""
    runs: dict[str, list[Path]] = {}
    failed: list[str] = []
    for name, figure in chosen.items():
        print(f"\n{name}: {figure.title}. {'Quick version.' if quick else f'Cost: {figure.cost}.'}", flush=True)
        results = QUICK / name / "runs" if quick else RESULTS
        with _noting(name, failed):
            runs[name] = run_missing(figure.overrides(quick), results)
    print()
    for name, folders in runs.items():
        with _noting(name, failed):
            _say(publish(name, chosen[name], folders, quick))
    if failed:
        print(f"not drawn: {', '.join(failed)}, see above. Finished runs are not repeated.", file=sys.stderr)
    return int(bool(failed))


def _draw(chosen: dict[str, Figure], named: bool) -> int:
    failed: list[str] = []
    for name, figure in chosen.items():
        if named or (PUBLISHED / name).is_dir():
            with _noting(name, failed):
                _say(redraw(name, figure))
        else:
            print(f"{name}: not published yet")
    return int(bool(failed))


@contextmanager
def _noting(name: str, failed: list[str]) -> Iterator[None]:
    """Report a failure of the ``with`` block, add `name` to `failed`, and go on."""
    try:
        yield
    except (BnnbenchError, OSError) as error:
        print(f"error: {name}: {error}", file=sys.stderr, flush=True)
        failed.append(name)


def _say(files: Sequence[Path]) -> None:
    for file in files:
        print(file)


if __name__ == "__main__":
    sys.exit(main())
