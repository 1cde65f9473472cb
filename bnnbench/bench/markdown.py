"""The tables of README.md and docs/speed.md, made from the rows of the bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnnbench.bench import layers, steps
from bnnbench.bench.table import Row, read, read_facts
from bnnbench.publishing.blocks import with_block
from bnnbench.publishing.commits import short
from bnnbench.publishing.markdown import markdown
from bnnbench.store import files

README, DOCS = Path("README.md"), Path("docs/speed.md")
NO_GPU = "Not measured on a GPU yet; on a machine that has one, `make bench DEVICE=cuda` does it.\n"
NONE = "Not measured yet: `make bench`.\n"
HEADS = {
    "steps": "A training step beside a bare loop in torch",
    "layers": "A training step with stochastic layers beside one with plain layers and Adam",
    "floors": "What torch alone needs for the pieces of a step",
    "careful": "Beside careful lines of one's own",
    "peers": "Other packages",
    "growth": "Width, batch, and a tiny network",
    "chains": "Chains side by side",
    "noise": "A normal for every weight",
    "evaluation": "Evaluation and recording as a share of a run",
    "end_to_end": "Three epochs of pSGLD on MNIST",
    "company": "Two runs at once",
    "checkpoints": "A checkpoint of a large network",
    "start": "A command, from the shell to its end",
    "sweeps": "Sweeps",
    "reading": "Reading the records of many runs",
    "memory": "Peak memory",
}


def summary(rows: Sequence[Row], facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the README's tables: steps and layers, evaluation, start, and where the numbers come from."""
    texts = [_by_threads([each for each in rows if each.part == part]) for part in ("steps", "layers")]
    shares = _most_threads([each for each in rows if each.part == "evaluation"])
    starts = [each for each in rows if each.part == "start" and each.what.startswith("run of one iteration, MNIST")]
    words = [f"{each.what.removeprefix('evaluation, ')} {100 * each.ratio:.1f} %" for each in shares]
    if words:
        texts.append(f"Evaluation and recording, as a share of a run on MNIST: {', '.join(words)}.")
    if starts:
        texts.append(
            f"A command of one iteration on MNIST takes {starts[0].seconds:.1f} s, the loading of torch included."
        )
    texts.append(source(rows, facts))
    return _joined(texts) or NONE


def full(rows: Sequence[Row], facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a section for each part, with all its rows."""
    texts = []
    for part in dict.fromkeys(each.part for each in rows):
        mine = [each for each in rows if each.part == part]
        texts += [f"### {HEADS.get(part, part)}", _everything(mine), source(mine, facts)]
    return _joined(texts) or NONE


def on_a_gpu(rows: Sequence[Row], facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the sections measured on a GPU, or the line that says that there are none."""
    return full(rows, facts) if rows else NO_GPU


def source(rows: Sequence[Row], facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return where rows come from, in a line for each distinct machine and state of the source."""
    lines = []
    for part in dict.fromkeys(each.part for each in rows):
        fact = facts.get(part)
        if not fact:
            continue
        versions = fact.get("versions") or {}
        packages = [f"{name} {versions[name]}" for name in ("torch", "numpy", "numba") if versions.get(name)]
        words = [str(fact.get("device_name")), f"{fact.get('cores')} cores", *packages]
        lines.append(f"{', '.join(words)}; commit {short(fact.get('git_commit'))}, {str(fact.get('date'))[:10]}.")
    return "\n".join(dict.fromkeys(lines))


def update(folder: Path, rows_from: Path, gpu_from: Path) -> list[Path]:
    """Write the blocks of README and docs below `folder` anew; return the files that were changed.

    Args:
        folder: holds README.md and docs; a file that is not there is left out.
        rows_from: the CSV of the bench. Without it what stands in the blocks is left as it is.
        gpu_from: the CSV of the bench on a GPU.

    Raises:
        BnnbenchError: a CSV or the marks of a block are damaged; nothing was written.
    """
    rows, gpu = read(rows_from), read(gpu_from)
    facts, gpu_facts = read_facts(rows_from), read_facts(gpu_from)
    blocks = {"bench_cuda": on_a_gpu(gpu, gpu_facts)}
    if rows:
        blocks |= {"bench": summary(rows, facts), "bench_full": full(rows, facts)}
    changed = {}
    for path in (folder / README, folder / DOCS):
        if path.is_file():
            before = after = path.read_text("utf-8")
            for name, block in blocks.items():
                after = with_block(after, name, block, str(path))
            if after != before:
                changed[path] = after
    for path, after in changed.items():
        files.write(path, after)
    return list(changed)


def _joined(texts: Sequence[str]) -> str:
    said = [text.strip() for text in texts if text.strip()]
    return "\n\n".join(said) + "\n" if said else ""


def _by_threads(rows: Sequence[Row]) -> str:
    """Return a table of one size, a column of ratios for each number of threads."""
    if not rows:
        return ""
    threads = sorted({each.threads for each in rows})
    reference = next((each for each in rows if each.is_reference), rows[0])
    head = [f"{reference.size}: multiple of {reference.against}, median (quartiles)"]
    head += [f"{n} thread{'s' * (n > 1)}" for n in threads]
    table = {each.what: dict.fromkeys(threads, "–") for each in rows}
    for each in rows:
        value = f"{1000 * each.seconds:.2f} ms" if each.is_reference else _spread(each)
        table[each.what][each.threads] = value
    return markdown(head, ([what, *cells.values()] for what, cells in table.items()))


def _everything(rows: Sequence[Row]) -> str:
    peaks = any(each.peak_mb is not None for each in rows)
    head = ["what", "size", "threads", "ratio (quartiles)", "against", "time", "processor's time"]
    lines = []
    for each in rows:
        cells = [each.what, each.size, str(each.threads), "1" if each.is_reference else _spread(each)]
        cells += ["" if each.is_reference else each.against, seconds(each.seconds), seconds(each.cpu_seconds)]
        lines.append(cells + ([f"{each.peak_mb:.0f} MB" if each.peak_mb is not None else ""] if peaks else []))
    return markdown([*head, *(["peak memory"] if peaks else [])], lines)


def _spread(each: Row) -> str:
    return f"{each.ratio:.2f} ({each.low:.2f}–{each.high:.2f})"


def seconds(value: float) -> str:
    """Return a time in the unit that suits its size."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if abs(value) * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def _most_threads(rows: Sequence[Row]) -> list[Row]:
    most = max((each.threads for each in rows), default=0)
    return [each for each in rows if each.threads == most]


def targets() -> dict[tuple[str, str], float]:
    """Return part and label → the most that its ratio should be; a missed one is said, and changes nothing else."""
    from bnnbench.bench import evaluation

    found: dict[tuple[str, str], float] = {}
    for part, module in (("steps", steps), ("layers", layers), ("evaluation", evaluation)):
        found |= {(part, label): target for label, target in module.TARGETS.items()}
    return found
