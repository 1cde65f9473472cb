"""Runs hostile inputs and counts how they end, by kind and by verb.

    PYTHONPATH=tests python -m hostile.report [--jobs 2] [--failures FILE] [WORDS …]

WORDS choose the cases whose id holds one of them. Another version of the package: put its folder on PYTHONPATH first.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bnnbench
from hostile.case import KINDS, Case, all_cases
from hostile.client import Server

VERDICTS = ("ok", "traceback", "hang", "wrong acceptance", "wrong refusal", "poor message", "broken case")


def run_all(cases: Sequence[Case], jobs: int) -> list[dict[str, Any]]:
    """Return the outcomes of `cases`, in their order."""
    results: dict[str, dict[str, Any]] = {}
    todo = iter(cases)

    def work(server: Server) -> None:
        for case in todo_of(todo):
            results[case.id] = server.run(case.id)
            if results[case.id]["verdict"] != "ok":
                print(f"{case.id} — {results[case.id]['verdict']}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as ready, ThreadPoolExecutor(jobs) as pool, Server(Path(ready)) as first:
        others = [Server(Path(ready)) for _ in range(jobs - 1)]
        list(pool.map(work, [first, *others]))
        for other in others:
            other.__exit__(None, None, None)
    return [results[case.id] for case in cases]


def todo_of(cases: Iterable[Case]) -> Iterable[Case]:
    """Yield from an iterator that several threads share."""
    while (case := next(cases, None)) is not None:  # type: ignore[call-overload]
        yield case


def table(title: str, groups: Sequence[str], of: Sequence[str], outcomes: Sequence[dict[str, Any]]) -> str:
    """Return counts of verdicts; `of` is the group of each outcome."""
    counts = Counter(zip(of, (one["verdict"] for one in outcomes), strict=True))
    head = f"{title:<22}" + "".join(f"{word:>18}" for word in ("cases", *VERDICTS))
    lines = [head]
    for group in (*groups, "all"):
        row = [sum(n for (g, v), n in counts.items() if v == verdict and group in (g, "all")) for verdict in VERDICTS]
        lines.append(f"{group:<22}" + "".join(f"{number:>18}" for number in (sum(row), *row)))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--failures", type=Path, help="a file for all that is not ok, with commands and outputs")
    parser.add_argument("--outcomes", type=Path, help="a JSON file that keeps outcomes: those run now replace theirs")
    given = parser.parse_args()
    cases = [c for c in all_cases().values() if not given.words or any(word in c.id for word in given.words)]
    outcomes = run_all(cases, given.jobs)
    if given.outcomes is not None:
        kept = json.loads(given.outcomes.read_text("utf-8")) if given.outcomes.exists() else {}
        kept |= {one["id"]: one for one in outcomes}
        given.outcomes.write_text(json.dumps(kept), "utf-8")
        cases = [case for case in all_cases().values() if case.id in kept]
        outcomes = [kept[case.id] for case in cases]
    print(f"{len(cases)} hostile inputs against {bnnbench.__file__}\n")
    kinds = [f"{KINDS[case.kind]} {case.kind}" for case in cases]
    print(table("kind", list(dict.fromkeys(kinds)), kinds, outcomes) + "\n")
    verbs = [case.verb for case in cases]
    print(table("verb", sorted(set(verbs)), verbs, outcomes))
    bad = [(case, one) for case, one in zip(cases, outcomes, strict=True) if one["verdict"] != "ok"]
    text = "\n".join(described(case, one) for case, one in bad)
    if given.failures is not None:
        given.failures.write_text(text, "utf-8")
    else:
        print("\n" + text)
    return int(bool(bad))


def described(case: Case, one: dict[str, Any]) -> str:
    """Return a failure in full."""
    right = f"{'refused' if case.refused else 'accepted'}, with words like {case.says!r}"
    return (
        f"=== {case.id} — {one['verdict']}: {one['why']}\n  command: bnnbench {' '.join(one['argv'])[:400]!r}\n"
        f"  environment: {dict(case.env)} {case.stdout}\n  right: {right}\n  came: exit {one['code']}, "
        f"{one['seconds']} s\n  stderr: {one['err'][-1500:]}\n  stdout: {one['out'][-600:]}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
