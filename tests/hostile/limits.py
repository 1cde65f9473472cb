"""B12: limits of memory, disk, files and time: met before work begins, or said in a line."""

from __future__ import annotations

import resource
from collections.abc import Callable

from hostile.case import Case, no, yes
from hostile.place import QUICK, Place, package

T = "run TINY method=sgd "
WIDE = "run iterations=4 threads=1 method=sgd "
FULL = {"stdout": "/dev/full"}
CLOSED = {"stdout": "closed"}


def at_most(kind: int, amount: int) -> Callable[[Place], Callable[[], None]]:
    """Return a setup that limits the process."""
    return lambda place: lambda: resource.setrlimit(kind, (amount, resource.getrlimit(kind)[1]))


def no_file_beyond(amount: int) -> Callable[[Place], Callable[[], None]]:
    """Return a setup: files grow to `amount` bytes, as on a disk that is full."""
    import signal

    def setup(place: Place) -> Callable[[], None]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        return at_most(resource.RLIMIT_FSIZE, amount)(place)

    return setup


def many_rows(number: int) -> Callable[[Place], None]:
    """Return a setup: the table of a run has `number` rows more."""

    def setup(place: Place) -> None:
        path = place.run("psgld") / "metrics.csv"
        head, *rows = path.read_text().splitlines()
        path.write_text("\n".join([head, *(rows * (number // len(rows))), *rows]) + "\n")

    return setup


def many_runs(place: Place) -> None:
    for number in range(200):
        place.copy("psgld", f"copy-{number}")


def deep_folders(place: Place) -> None:
    """Move a run below as many folders as a path has room for."""
    import os

    os.chdir(place.results)
    for _ in range(25):
        os.mkdir("d" * 150)
        os.chdir("d" * 150)
    os.chdir(place.tmp)


BIG = (
    "import numpy as np\nTASK, CLASSES = 'classification', 2\n"
    "def load(root, part):\n    return np.broadcast_to(np.float32(1), (10**6, {width})), np.arange(10**6) % 2\n"
)
CASES: list[Case] = [
    no("widths for terabytes", WIDE + "model.widths=[1000000,1000000]", "memory|GiB|TiB"),
    no("one layer for terabytes", WIDE + "model.widths=[99999999999]", "memory|GiB|TiB|widths"),
    no("widths beyond the address space", WIDE + "model.widths=[9223372036854775807]", "memory|widths"),
    no("widths beyond 64 bits", WIDE + "model.widths=[92233720368547758080]", "memory|widths"),
    no("a hundred thousand chains", WIDE + "chains=100000", "memory|GiB|chains"),
    no("chains beyond the address space", WIDE + "chains=1000000000000", "memory|GiB|chains"),
    no("more chains than are allowed", WIDE + "chains=10000000000000", "chains"),
    no(
        "a network of a million layers",
        (*WIDE.split(), f"model.widths=[{','.join(['4'] * 20_000)}]"),
        "widths|layers|deep|memory",
    ),
    no(
        "channels for terabytes",
        WIDE + "model=cnn dataset=digits 'model.channels=[1000000,1000000]'",
        "memory|channels|GiB",
    ),
    no("threads beyond the machine", "run model.widths=[4] iterations=4 method=sgd threads=4097", "threads=4097"),
    yes("an evaluation of more than all data", T + "eval.batch_size=1000000000000"),
    no("an evaluation beyond numbers", T + "eval.batch_size=1e30", "eval.batch_size"),
    no("bins beyond memory", T + "eval.ece_bins=100001", "ece_bins=100001"),
    no("points beyond numbers to refit on", T + "method.bn_refit_size=1e30", "bn_refit_size"),
    no(
        "a data set beyond memory",
        "run iterations=4 threads=1 method=sgd model.widths=[4] dataset.divide=1 dataset.name=mine.data",
        "memory|GiB",
        setup=package(data=BIG.format(width=100_000)),
    ),
    yes(
        "a search over wide networks",
        "tune iterations=4 threads=1 method=sgd dataset.valid=0.2 --trials 2 "
        "'model.widths=choice([4],[1000000,1000000])'",
        "this run needs about|not enough memory",
    ),
    no("a sweep of a million runs", "run -m TINY method=sgd 'seed=range(0,1000000)'", "1000000|runs"),
    no("a sweep beyond numbers", "run -m TINY method=sgd 'seed=range(0,10,0)'", "seed|range|step"),
    no("a search of a billion trials", "tune TINY method=sgd dataset.valid=0.2 --trials 1000000000000", "trials"),
    no(
        "plot: into a full disk",
        "plot {results} --out f --formats png",
        "f.png|large|space",
        setup=no_file_beyond(1000),
    ),
    no("compare: into a full disk", "compare {results} --out t.csv", "t.csv|large|space", setup=no_file_beyond(10)),
    no("collect: into a full disk", "collect {results} --out t.csv", "t.csv|large|space", setup=no_file_beyond(100)),
    no("export: into a full disk", "export {psgld}", "network.pt|large|space", setup=no_file_beyond(500)),
    no("sparsity: into a full disk", "sparsity {sparse} --formats svg", "curve|large|space", setup=no_file_beyond(100)),
    no("run: into a full disk", T, "config.yaml|manifest|metrics|large|space", setup=no_file_beyond(100)),
    no(
        "tune: into a full disk",
        "tune TINY method=sgd dataset.valid=0.2 --trials 2",
        "study|disk|large|space",
        setup=no_file_beyond(100),
    ),
    no("data: to a full output", "data verify digits", "output", **FULL),
    no("ls: methods to a full output", "ls methods", "output", **FULL),
    no("ls: runs to a full output", "ls runs", "output", **FULL),
    no("compare: to a full output", "compare {results}", "output", **FULL),
    no("collect: to a full output", "collect {results}", "output", **FULL),
    no("plot: to a full output", "plot {results} --out f.svg", "output", **FULL),
    no("export: to a full output", "export {psgld}", "output", **FULL),
    no("sparsity: to a full output", "sparsity {sparse} --thresholds 0 --formats svg", "output", **FULL),
    no("app: version to a full output", "--version", "output", **FULL),
    no("app: help to a full output", "run --help", "output", **FULL),
    yes("data: to a closed output", "data verify digits", **CLOSED),
    yes("ls: metrics to a closed output", "ls metrics", **CLOSED),
    yes("collect: to a file, with a closed output", "collect {results} --out t.csv", **CLOSED),
    yes("plot: with a closed output", "plot {results} --out f.svg", **CLOSED),
    yes("export: with a closed output", "export {psgld}", **CLOSED),
    yes("sparsity: with a closed output", "sparsity {sparse} --thresholds 0 --formats svg", **CLOSED),
    yes("plot: few open files", "plot {results} --out f.svg", "f.svg", setup=at_most(resource.RLIMIT_NOFILE, 24)),
    no("run: no open files", T, "open files", setup=at_most(resource.RLIMIT_NOFILE, 4)),
    no("compare: no open files", "compare {results}", "open files", setup=at_most(resource.RLIMIT_NOFILE, 4)),
    no("plot: a hundred thousand rows twice", "plot {psgld} --out f.svg", "metrics.csv", setup=many_rows(100_000)),
    yes("compare: two hundred copies", "compare {results}", "psgld", setup=many_runs),
    yes("ls: two hundred copies", "ls runs", "copy-199", setup=many_runs),
    yes("ls: folders as deep as paths are long", "ls runs", "psgld", setup=deep_folders),
    yes("collect: folders as deep as paths are long", "collect {results} --out t.csv", "read 3", setup=deep_folders),
    yes("ls: the processes of the machine", "ls runs --results /proc/self", "No runs|runs"),
    no("collect: the devices of the machine", "collect /dev --out t.csv", "No runs"),
    no(
        "sparsity: more thresholds than it takes",
        ("sparsity", "{sparse}", "--thresholds", ",".join(map(str, range(-500, 600)))),
        "thresholds|threshold",
    ),
    no("sparsity: steps below rounding", "sparsity {sparse} --thresholds 0:1:1e-300", "thresholds|1e-300"),
    no("data: a root of five thousand letters", ("data", "verify", "mnist", "--root", "y/" * 2500), "mnist|long"),
    no("data: a name of five thousand letters", ("data", "verify", "x" * 5000), "x"),
    no("ls: a list of five thousand letters", ("ls", "y" * 5000), "y"),
    no("ls: a folder of five thousand letters", ("ls", "runs", "--results", "y" * 5000), "y"),
    no("compare: a key of five thousand letters", ("compare", "{results}", "--by", "y" * 5000), "by"),
    no("export: to a name of five thousand letters", ("export", "{psgld}", "--out", "y" * 5000), "out|long"),
    no("plot: to a name of five thousand letters", ("plot", "{results}", "--out", "y" * 5000 + ".svg"), "long|out"),
    no("a value of a million letters", (*T.split(), f"device={'x' * 100_000}"), "device"),
    yes("checkpoints at every step", " ".join(("run", *QUICK)) + " method=sgd seed=7"),
]
