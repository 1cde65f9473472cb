"""A comparison as a table for the terminal (rich), for a page (Markdown) and for programs (CSV, full precision)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bnnbench.analysis.compare import Comparison, GroupScores, Table
from bnnbench.analysis.statistics import LEVEL, Difference, Mean
from bnnbench.store import files
from bnnbench.store.manifest import RunStatus
from bnnbench.tasks.measures import Measure

ENDINGS = (".csv", ".md")
OVER_DATA = f"{100 * LEVEL:.0f} % over test data"


def print_comparison(comparison: Comparison, console: Console, out: Path | None = None) -> None:
    """Print every table with its notes, and write all of them to `out`, a path returned by `targets.check_target`."""
    for table in comparison.tables:
        _print(console, table)
    for line in _account(comparison):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if out is not None:
        files.write(out, to_csv(comparison) if out.suffix.lower() == ".csv" else to_markdown(comparison))
        console.print(f"written: {out}", highlight=False, markup=False, soft_wrap=True)


def to_csv(comparison: Comparison) -> str:
    """Return one line per group: means and standard errors in the units of metrics.csv, and the paired comparison.

    ``best`` marks the best group; it is empty where the main metric has no direction.
    """
    lines = []
    for table in comparison.tables:
        for row in table.rows:
            line: dict[str, object] = {"dataset": table.dataset, "split": table.split}
            line |= dict(zip(table.by, row.key, strict=True))
            line |= {"prediction": row.prediction, "seeds": row.seeds}
            line["repetitions"] = row.means[table.metrics[0]].count
            for metric in table.metrics:
                average = row.means.get(metric)
                line[f"{metric}_mean"] = average.value if average else None
                line[f"{metric}_se"] = average.error if average else None
            d = row.difference
            best = d is None if table.first == "best" else None
            line |= {"compared_in": table.metrics[0], "best": best, "pairs": d.pairs if d else None}
            line |= {"difference": d.value if d else None, "low": d.low if d else None, "high": d.high if d else None}
            line |= {"p": d.p if d else None, "p_holm": d.p_holm if d else None}
            if _over_data(comparison.tables):
                line |= {"data": d.data if d else None}
                line |= {"data_low": d.data_low if d else None, "data_high": d.data_high if d else None}
            lines.append(line)
    frame = pd.DataFrame(lines)
    for counts in ("pairs", "data"):
        if counts in frame:
            frame[counts] = frame[counts].astype("Int64")
    return frame.to_csv(index=False)


def to_markdown(comparison: Comparison) -> str:
    """Return the tables and notes as a Markdown page."""
    parts = []
    for table in comparison.tables:
        header, rows = cells(table)
        lines = [header, ["---"] * len(header), *rows]
        parts.append(f"**{_title(table)}**")
        parts.append(
            "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        )
        parts.append("\n".join(f"- {note}" for note in notes(table)))
    parts += [f"- {line}" for line in _account(comparison)]
    return "\n\n".join(parts) + "\n"


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of cells, numbers in the units that the header names."""
    main = table.metrics[0]
    scale = table.measures[main].scale
    repeated = any(row.means[main].count != row.seeds for row in table.rows)
    header = [*_by(table.by).split(","), *(table.measures[metric].head for metric in table.metrics)]
    header += ["seeds", *(["repetitions"] if repeated else []), "prediction"]
    compared = len(table.rows) > 1
    unpaired = any(row.difference and row.difference.pairs != row.means[main].count for row in table.rows)
    if compared:
        header += [
            f"Δ {table.measures[main].head}",
            *(["pairs"] if unpaired else []),
            f"{100 * LEVEL:.0f} % interval",
            "p",
            "p (Holm)",
            *([OVER_DATA] if _over_data([table]) else []),
        ]
    places = {metric: _places(table.measures[metric], table.rows) for metric in table.metrics}
    rows = []
    for row in table.rows:
        line = [*row.key, *(_mean(row.means.get(m), table.measures[m].scale, places[m]) for m in table.metrics)]
        line += [str(row.seeds), *([str(row.means[main].count)] if repeated else []), row.prediction]
        if compared:
            value, *rest = _difference(row.difference, scale, places[main], table.first)
            pairs = str(row.difference.pairs) if row.difference else ""
            line += [value, *([pairs] if unpaired else []), *rest]
            line += [_interval_over_data(row.difference, scale, places[main])] if _over_data([table]) else []
        rows.append(line)
    return header, rows


def notes(table: Table) -> list[str]:
    """Return the lines below a table: the meaning of its numbers, and their caveats."""
    main = table.metrics[0]
    counts = [row.means[main].count for row in table.rows]
    lines = []
    if max(counts) > 1:
        lines.append("±: one standard error over the repetitions (seed, chain, split of the dataset).")
    tests = sum(row.difference is not None and row.difference.p is not None for row in table.rows)
    if tests:
        corrected = f"; Holm's correction over {tests} tests" if tests > 1 else ""
        lines.append(f"Δ: mean of the differences to the {table.first}, paired by repetition; Student's t{corrected}.")
    if sizes := {row.difference.data for row in table.rows if row.difference and row.difference.data}:
        size = f"{sizes.pop():,}".replace(",", " ") if len(sizes) == 1 else "the"
        lines.append(f"{OVER_DATA}: what {size} other test data would give with these networks, paired by datum.")
    if single := sum(count == 1 for count in counts):
        lines.append(f"{single} of {len(counts)} groups have one repetition: no standard error, no interval, no test.")
    if any(row.difference and row.difference.pairs > 1 and row.difference.p is None for row in table.rows):
        lines.append("Where all pairs differ by the same amount there is no spread, hence no interval and no test.")
    if len(table.rows) == 1:
        lines.append(f"Only one group ({', '.join(table.rows[0].key)}): nothing to compare it with.")
    if table.added:
        lines.append(f"Split by {', '.join(table.added)} too, in which these runs differ: no mean is taken over them.")
    if table.confounded:
        lines.append(f"The groups differ in more than {_by(table.by)}: {', '.join(table.confounded)}.")
    if table.machines:
        lines.append(f"The seconds are from different machines: {'; '.join(table.machines)}.")
    return lines


def _print(console: Console, table: Table) -> None:
    header, rows = cells(table)
    words = len(table.by)
    shown = RichTable(title=_title(table), title_justify="left", box=box.SIMPLE_HEAD)
    for number, word in enumerate(header):
        left = number < words or word == "prediction"
        shown.add_column(word, justify="left" if left else "right", no_wrap=True)
    for number, row in enumerate(rows):
        shown.add_row(*(Text(cell) for cell in row), style="bold" if number == 0 and len(rows) > 1 else "")
    # A number cut short would be a wrong number: rather a line longer than the terminal is wide.
    needed = console.measure(shown, options=console.options.update(max_width=10_000)).maximum
    Console(width=max(console.width, needed), markup=False).print(shown, soft_wrap=needed > console.width)
    for note in notes(table):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    console.print()


def _by(keys: Sequence[str]) -> str:
    return ",".join(key.removesuffix(".name") for key in keys)


def _title(table: Table) -> str:
    return f"{table.dataset}, {table.split} split"


def _account(comparison: Comparison) -> list[str]:
    words: dict[str, str] = {RunStatus.RUNNING: "running or killed"}
    counted = [f"{count} {words.get(reason, reason)}" for reason, count in comparison.left_out.items()]
    lines = [f"Left out: {', '.join(counted)}."] if counted else []
    return lines + [f"damaged: {reason}" for reason in comparison.damage]


def _places(measure: Measure, rows: Sequence[GroupScores]) -> int:
    """Return the decimals that show two digits of the smallest standard error, but no more than two extra ones."""
    errors = [row.means[measure.name].error for row in rows if measure.name in row.means]
    smallest = min((e * measure.scale for e in errors if e), default=0.0)
    wanted = 1 - math.floor(math.log10(smallest)) if 0 < smallest < math.inf else measure.decimals
    return min(max(wanted, measure.decimals), measure.decimals + 2)


def _mean(average: Mean | None, scale: float, places: int) -> str:
    if average is None:
        return "–"
    value = f"{average.value * scale:.{places}f}"
    return value if average.error is None else f"{value} ± {average.error * scale:.{places}f}"


def _difference(d: Difference | None, scale: float, places: int, first: str) -> list[str]:
    if d is None:
        return [first, "", "", ""]
    if d.value is None:
        return ["–", "no common seed", "–", "–"]
    value = f"{d.value * scale:+.{places}f}"
    if d.p is None or d.p_holm is None or d.low is None or d.high is None:
        return [value, f"– ({d.pairs} {'pair' if d.pairs == 1 else 'pairs'})", "–", "–"]
    interval = f"{d.low * scale:+.{places}f} … {d.high * scale:+.{places}f}"
    return [value, interval, _p(d.p), _p(d.p_holm)]


def _over_data(tables: Sequence[Table]) -> bool:
    return any(row.difference and row.difference.data for table in tables for row in table.rows)


def _interval_over_data(d: Difference | None, scale: float, places: int) -> str:
    if d is None:
        return ""
    if d.data_low is None or d.data_high is None:
        return "–"
    return f"{d.data_low * scale:+.{places}f} … {d.data_high * scale:+.{places}f}"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
