"""B8: counts and units: what a run says it has done, and what is read from numbers that cannot be."""

from __future__ import annotations

import csv
import io

from hostile.case import Case, no, yes
from hostile.place import Place, cells, change_table, manifest, newest_run, rows_of

R = "run model.widths=[4] threads=1 "


def column(name: str, chain: str, wanted: float) -> object:
    """Return a check of a column's last value."""

    def check(place: Place, out: str, err: str) -> None:
        rows = [row for row in rows_of(newest_run(place)) if row["chain"] == chain]
        assert rows and abs(float(rows[-1][name]) - wanted) < 1e-6 * max(1, wanted), (name, rows[-1:], wanted)

    return check


def row_count(number: int) -> object:
    def check(place: Place, out: str, err: str) -> None:
        table = list(csv.reader(io.StringIO(out)))
        assert len(table) - 1 == number, len(table) - 1

    return check


def whole_numbers(place: Place, out: str, err: str) -> None:
    for row in csv.DictReader(io.StringIO(out)):
        assert "." not in row["iteration"], row["iteration"]


def cell(place_run: str, column: str, value: str, where: int = -1) -> object:
    """Return a setup that changes one row of a table."""

    def setup(place: Place) -> None:
        count = len(rows_of(place.run(place_run)))
        seen = iter(range(count))
        change_table(
            place.run(place_run), lambda row: row.update({column: value}) if next(seen) == where % count else None
        )

    return setup


CASES: list[Case] = [
    yes("epochs of one step", R + "method=sgd batch_size=1000 epochs=3", check=column("epoch", "0", 4000 / 1438)),
    yes("epochs of two steps", R + "method=sgd batch_size=719 epochs=2", check=column("epoch", "0", 2.0)),
    yes("epochs of a part", R + "method=sgd batch_size=300 iterations=3", check=column("epoch", "0", 900 / 1438)),
    yes(
        "epochs without the held-out points",
        R + "method=sgd batch_size=100 iterations=5 dataset.valid=438",
        check=column("epoch", "0", 0.5),
    ),
    yes("gradients of one chain", R + "method=sgd iterations=6", check=column("grad_evals", "0", 6)),
    yes("gradients of three chains", R + "method=sgld iterations=4 chains=3", check=column("grad_evals", "all", 12)),
    yes(
        "gradients of each of three chains", R + "method=sgld iterations=4 chains=3", check=column("grad_evals", "2", 4)
    ),
    yes(
        "gradients for Γ by Hutchinson",
        R + "method=psgld iterations=4 chains=2 method.optimizer.gamma=hutchinson method.optimizer.v_adapt=always",
        check=column("grad_evals", "1", 8),
    ),
    yes("members", R + "method=sgld iterations=10 members.burn_in=4 members.thin=2", check=column("members", "0", 3)),
    yes(
        "members of two chains",
        R + "method=sgld iterations=10 members.burn_in=4 members.thin=2 chains=2",
        check=column("members", "all", 6),
    ),
    yes("two members", R + "method=sgld iterations=2 members.burn_in=0 members.thin=1", "member"),
    yes("collect: whole numbers", "collect {psgld}", check=whole_numbers),
    yes("collect: all rows of a run", "collect {psgld}", "read 1 run"),
    yes("collect: rows of a set called NA", "collect {psgld}", ",NA,", setup=cells("psgld", split="NA")),
    yes("collect: rows of a set called true", "collect {psgld}", ",true,", setup=cells("psgld", split="true")),
    yes("collect: rows of a set called 1e5", "collect {psgld}", ",1e5,", setup=cells("psgld", split="1e5")),
    yes(
        "collect: a step size of many digits",
        "collect {psgld}",
        "0.1234567890123456",
        setup=cells("psgld", lr="0.1234567890123456"),
    ),
    no(
        "collect: half an iteration",
        "collect {psgld}",
        "metrics.csv.*iteration",
        setup=cell("psgld", "iteration", "3.5"),
    ),
    no(
        "compare: an iteration without end",
        "compare {psgld}",
        "metrics.csv.*iteration",
        setup=cell("psgld", "iteration", "inf"),
    ),
    no(
        "compare: a negative iteration",
        "compare {psgld}",
        "metrics.csv.*iteration",
        setup=cell("psgld", "iteration", "-4"),
    ),
    no(
        "compare: an iteration beyond the run",
        "compare {psgld}",
        "metrics.csv.*iteration",
        setup=cell("psgld", "iteration", "400"),
    ),
    no(
        "compare: an iteration that is no number",
        "compare {psgld}",
        "metrics.csv",
        setup=cell("psgld", "iteration", "nan"),
    ),
    no("compare: an error of 213 %", "compare {psgld}", "metrics.csv.*error", setup=cells("psgld", error="2.13")),
    no("compare: a negative error", "compare {psgld}", "metrics.csv.*error", setup=cells("psgld", error="-0.1")),
    no("plot: a negative error", "plot {psgld} --out f.svg", "metrics.csv.*error", setup=cells("psgld", error="-0.1")),
    yes(
        "plot: seconds that are negative",
        "plot {psgld} --x seconds --out f.svg",
        "f.svg",
        setup=cells("psgld", train_seconds="-5"),
    ),
    yes(
        "plot: seconds without end",
        "plot {results} --x seconds --out f.svg",
        "f.svg",
        setup=cells("psgld", train_seconds="inf"),
    ),
    yes(
        "plot: gradients that are no numbers",
        "plot {results} --x grad_evals --out f.svg",
        "f.svg",
        setup=cells("psgld", grad_evals="nan"),
    ),
    no("plot: one iteration for all rows", "plot {psgld} --out f.svg", "twice", setup=cells("psgld", iteration="4")),
    yes("compare: no seconds", "compare {results} --metric nll,seconds", setup=cells("psgld", train_seconds="")),
    yes(
        "compare: a group without scores",
        "compare {results} --metric nll",
        "(?i)without|left out",
        setup=cells("psgld", nll=""),
    ),
    no("compare: nobody has scores", "compare {psgld} --metric nll", "nll", setup=cells("psgld", nll="")),
    yes("ls: no scores", "ls runs", "psgld", setup=cells("psgld", error="", nll="")),
    yes("ls: an iteration without end", "ls runs", "left out.*metrics.csv", setup=cell("psgld", "iteration", "inf")),
    yes("plot: N is zero", "plot {psgld} --out f.svg", "f.svg", setup=manifest("psgld", num_data=0)),
    yes("plot: N is negative", "plot {psgld} --out f.svg", "f.svg", setup=manifest("psgld", num_data=-1)),
    yes("plot: N beyond numbers", "plot {psgld} --out f.svg", "f.svg", setup=manifest("psgld", num_data=10**400)),
    yes(
        "plot: a temperature in words", "plot {psgld} --out f.svg", "f.svg", setup=manifest("psgld", temperature="hot")
    ),
    yes(
        "plot: a temperature beyond numbers",
        "plot {psgld} --out f.svg",
        "f.svg",
        setup=manifest("psgld", temperature=10**400),
    ),
    yes("compare: a temperature that is a list", "compare {results}", setup=manifest("psgld", temperature=[1])),
    yes("compare: threads that are a mapping", "compare {results}", setup=manifest("psgld", threads={"a": 1})),
    yes("ls: iterations beyond numbers", "ls runs", setup=manifest("psgld", iterations=10**400)),
    yes("ls: the end is a number", "ls runs", "psgld", setup=manifest("psgld", end=5, start=[])),
    yes("collect: iterations as a truth", "collect {results}", setup=manifest("psgld", iterations=True)),
]
