"""``python -m bnnbench.bench``: measure, print, write the rows, and say what has changed. See `bnnbench.bench`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from bnnbench.bench import (
    careful,
    chains,
    checkpoints,
    company,
    end_to_end,
    evaluation,
    floors,
    growth,
    layers,
    markdown,
    memory,
    noise,
    peers,
    reading,
    start,
    steps,
    sweeps,
    table,
)
from bnnbench.bench.setting import DATA, Setting, parse_threads, training_data
from bnnbench.errors import BnnbenchError, ConfigError, did_you_mean
from bnnbench.experiment import machine
from bnnbench.experiment.cores import usable_cores

PARTS: dict[str, Callable[[Setting], Iterator[table.Row]]] = {
    "steps": steps.measure,
    "layers": layers.measure,
    "floors": floors.measure,
    "careful": careful.measure,
    "peers": peers.measure,
    "growth": growth.measure,
    "chains": chains.measure,
    "noise": noise.measure,
    "evaluation": evaluation.measure,
    "end_to_end": end_to_end.measure,
    "company": company.measure,
    "checkpoints": checkpoints.measure,
    "start": start.measure,
    "sweeps": sweeps.measure,
    "reading": reading.measure,
    "memory": memory.measure,
}
ON_A_DEVICE = ("steps", "layers", "chains", "noise")  # of --device
LIMIT = 480  # seconds of a run with --device
PUBLISHED, QUICK = Path("results/published"), Path("results/quick")
BASELINE = "bench_baseline.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; return the exit code: 0, 1 if something broke, 130 if interrupted."""
    options = parser().parse_args(arguments)
    try:
        if options.tables:
            return _tables(options.out or PUBLISHED / "bench.csv")
        setting, out = prepare(options)
        names = list(dict.fromkeys(options.only or (ON_A_DEVICE if options.device else PARTS)))
        record = table.Record(out, list(PARTS))
        _head(setting, out)
        broken, measured = measure(setting, names, record, LIMIT if options.device else None, options.data)
    except BnnbenchError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the rows up to here are kept", file=sys.stderr)
        return 130
    if not options.quick and options.out is None:
        for line in table.changes(measured, table.read(PUBLISHED / BASELINE)) if not options.device else []:
            print(line)
        _tables(PUBLISHED / "bench.csv")
    if broken:
        print(f"error: broke: {', '.join(broken)}, see above", file=sys.stderr)
    return int(bool(broken))


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    made = argparse.ArgumentParser(prog="python -m bnnbench.bench", description="What bnnbench costs beside torch.")
    made.add_argument(
        "--only", action="append", metavar="PART", help=f"this part alone; may be repeated: {', '.join(PARTS)}"
    )
    made.add_argument("--rounds", type=int, help="of alternating blocks, at least 2 (default: 15)")
    made.add_argument("--threads", help="CPU threads, each measured (default: 1,2)")
    made.add_argument("--quick", action="store_true", help="try the code out, below results/quick: no numbers of use")
    made.add_argument("--device", help=f"cuda: {', '.join(ON_A_DEVICE)} there, in {LIMIT // 60} minutes at most")
    made.add_argument("--data", choices=sorted(DATA), default="mnist", help="noise: of MNIST's shape, where it is not")
    made.add_argument("--out", type=Path, help="the CSV file (default: results/published/bench.csv)")
    made.add_argument("--tables", action="store_true", help="only write the tables of README and docs anew")
    return made


def prepare(options: argparse.Namespace) -> tuple[Setting, Path]:
    """Return the setting that the command line asks for, and the CSV's path.

    Raises:
        ConfigError: it asks for what there is not. DataError: the data are missing.
    """
    allowed = ON_A_DEVICE if options.device else tuple(PARTS)
    for name in options.only or ():
        if name not in allowed:
            raise ConfigError(
                f"--only {name}: no such part{' with --device' * bool(options.device)}.{did_you_mean(name, allowed)}"
            )
    rounds = options.rounds if options.rounds is not None else 2 if options.quick else 15
    if rounds < 2:
        raise ConfigError(f"--rounds {rounds}: quartiles need at least 2.")
    threads = parse_threads(options.threads)
    if options.device and options.device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ConfigError(f"--device {options.device}: no GPU here, so nothing was measured.")
        threads = threads[-1:]  # the steps wait for the GPU
    device = machine.choose_device(options.device or "cpu")
    if options.device and device.type == "cpu" and not options.quick:
        raise ConfigError("--device cpu: this is to try the code out, with --quick. Leave it out to measure the CPU.")
    setting = Setting(DATA[options.data], device, threads, rounds, options.quick)
    training_data(setting)  # missing data are said before minutes have passed
    name = f"bench_{device.type}.csv" if options.device else "bench.csv"
    return setting, options.out or (QUICK if options.quick else PUBLISHED) / name


def measure(
    setting: Setting, names: Sequence[str], record: table.Record, limit: float | None, dataset: str
) -> tuple[list[str], list[table.Row]]:
    """Measure the parts called `names` and record their rows; return the parts that broke, and all new rows.

    Args:
        setting: how.
        names: of parts.
        record: where the rows go.
        limit: seconds after which nothing more is begun; None for as long as it takes.
        dataset: the word for the data, for the record.
    """
    # On a GPU a step this small is the launching of kernels: the targets are those of a CPU.
    targets = markdown.targets() if setting.device.type == "cpu" and not setting.quick else {}
    began = time.perf_counter()
    broken, measured, late = [], [], []
    for name in names:
        if limit is not None and time.perf_counter() - began > limit:
            late.append(name)
            continue
        print(f"\n{name}: {markdown.HEADS[name]}", flush=True)
        # Taken at the beginning of a part, when its own work is not yet part of the load.
        record.begin(name, table.provenance(setting.device, usable_cores(), dataset, setting.rounds))
        rows: list[table.Row] = []
        try:
            for each in PARTS[name](replace(setting, part=name)):
                rows.append(each)
                record.add(each)
                _show(each, targets.get((name, each.what)))
                if limit is not None and time.perf_counter() - began > limit:
                    late.append(f"the rest of {name}")
                    break
            else:
                record.end(name, rows)
        except BnnbenchError as error:
            print(f"error: {name}: {error}", file=sys.stderr, flush=True)
            broken.append(name)
        except Exception:  # the other parts have nothing to do with it
            traceback.print_exc()
            broken.append(name)
        measured += rows
    if late:
        print(f"\nout of time, left out: {', '.join(late)}")
    return broken, measured


def _tables(out: Path) -> int:
    """Write the tables of README and docs anew; return the exit code."""
    for path in markdown.update(Path(), out, out.with_name("bench_cuda.csv")):
        print(path)
    return 0


def _head(setting: Setting, out: Path) -> None:
    facts = table.provenance(setting.device, usable_cores(), "", setting.rounds)
    load = ", ".join(map(str, facts["load_average"] or ["unknown"]))
    versions = facts["versions"]
    print(f"{facts['device_name']}, {facts['cores']} cores, load average {load}; torch {versions['torch']}; {out}")


def _show(each: table.Row, target: float | None) -> None:
    """Print a row, and whether its ratio is above its target."""
    shown = f"{each.ratio:>8.2f} × ({each.low:.2f}–{each.high:.2f})" if not each.is_reference else ""
    times = f"{markdown.seconds(each.seconds):>9}  cpu {markdown.seconds(each.cpu_seconds):>9}"
    verdict = "" if target is None or each.ratio <= target else f"  above its target, {target:g}"
    peak = "" if each.peak_mb is None else f"  {each.peak_mb:.0f} MB"
    print(f"  {each.what:<42} {each.size:<30} {each.threads}  {shown:<24}{times}{peak}{verdict}".rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
