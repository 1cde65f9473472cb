"""B5: tables and figures over runs that differ: nothing is pooled that does not belong together."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

from hostile.case import Case, no, yes
from hostile.place import Place, both, change_config, change_manifest, change_table


def twin(changed: Callable[[Any], Any] | None = None, /, run: str = "psgld", **config: Any) -> Callable[[Place], None]:
    """Return a setup: a copy of a run with another seed, whose configuration differs in `config` too."""

    def setup(place: Place) -> None:
        folder = place.copy(run, "twin")
        change_config(folder, **{"seed": 1, **config})
        change_table(folder, lambda row: row.update(nll=str(float(row["nll"]) + 0.25)))
        if changed is not None:
            changed(folder)

    return setup


def alone(place: Place) -> None:
    """Leave nothing but psgld and its twin."""
    import shutil

    for name in ("sgld", "sparse"):
        shutil.rmtree(place.run(name))


def rows(number: int) -> Callable[[Place, str, str], None]:
    """Return a check of the number of groups that compare has written to t.csv."""

    def check(place: Place, out: str, err: str) -> None:
        with (place.tmp / "t.csv").open() as stream:
            found = list(csv.DictReader(stream))
        assert len(found) == number, found

    return check


def drawn(*words: str) -> Callable[[Place, str, str], None]:
    """Return a check that the figure shows `words`."""

    def check(place: Place, out: str, err: str) -> None:
        import re

        svg = (place.tmp / "f.svg").read_text("utf-8")
        shown = " ".join(re.findall(r"<!--(.*?)-->", svg)) + svg
        for word in words:
            assert word in shown, f"{word} is not in the figure"

    return check


def split(name: str, word: str, /, **config: Any) -> Case:
    """Return a case: runs that differ in `config` are two groups, and the table says in what."""
    setup = both(twin(**config), alone)
    return yes(f"compare: {name}", "compare {results} --out t.csv", word, setup=setup, check=rows(2))


def lines(name: str, /, *words: str, **config: Any) -> Case:
    """Return a case: runs that differ in `config` are two lines, and the legend says in what."""
    return yes(
        f"plot: {name}", "plot {results} --out f.svg", "f.svg", setup=both(twin(**config), alone), check=drawn(*words)
    )


def one_group(name: str, /, changed: Callable[[Any], Any] | None = None, **config: Any) -> Case:
    """Return a case: what changes no number keeps runs together."""
    setup = both(twin(changed, **config), alone)
    return yes(f"compare: {name}", "compare {results} --out t.csv", "", setup=setup, check=rows(1))


def broken(folder: Any) -> None:
    change_table(folder, lambda row: row.update(nll="nan", error="nan"))


def endless(folder: Any) -> None:
    change_table(folder, lambda row: row.update(nll="inf"))


def missing(folder: Any) -> None:
    config = (folder / "config.yaml").read_text().replace("seed: 1\n", "")
    (folder / "config.yaml").write_text(config)


def half(folder: Any) -> None:
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    (folder / "metrics.csv").write_text("".join(lines[: len(lines) // 2 + 1]))


def other_sources(place: Place) -> None:
    for number, folder in enumerate((place.run("psgld"), place.results / "ready/twin")):
        change_manifest(folder, sources=[{"module": "mine.code", "file": "/x/code.py", "sha256": f"{number}" * 64}])


def copies(place: Place) -> None:
    for number in range(3):
        place.copy("psgld", f"copy-{number}")
    alone(place)


def no_more_evidence(place: Place, out: str, err: str) -> None:
    with (place.tmp / "t.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["seeds"] == "1", row


CASES: list[Case] = [
    split("temperatures", "temperature", temperature=0.5, method__optimizer__temperature=0.5),
    split("priors", "prior.variance|variance", prior__variance=0.1),
    split("divisions of the inputs", "divide", dataset__divide=8),
    split("validation points", "valid", dataset__valid=100),
    split("orders of the minibatches", "shuffle", shuffle=False),
    split(
        "averages of members",
        "average",
        members__average="log_probability",
        method__predictive__average="log_probability",
    ),
    split("numbers of bins", "ece_bins", eval__ece_bins=30),
    split("lengths", "iterations", iterations=4000),
    split("schedules", "schedule", schedule={"name": "cosine", "final": 0.0}),
    split("adaptations of V", "v_adapt", method__optimizer__v_adapt="always"),
    split("networks of one label", "widths", model__widths=[8]),
    split("initialisations", "init", model__init="he"),
    split("priors on biases", "biases", prior__biases=False),
    yes(
        "compare: versions of the user's code",
        "compare {results} --out t.csv",
        "files",
        setup=both(twin(), other_sources, alone),
        check=rows(2),
    ),
    one_group("numbers of threads", threads=2),
    one_group("folders of results", results="/elsewhere", name="other"),
    one_group("data in another place", data__root="/elsewhere/data"),
    one_group("checkpoint intervals", checkpoint_every=1.0),
    one_group("batches of the evaluation", eval__batch_size=7),
    split("labels", "method.label", method__label="Another label"),
    one_group("numbers written otherwise", temperature=1, prior__variance=1),
    yes("compare: copies are no evidence", "compare {results} --out t.csv", setup=copies, check=no_more_evidence),
    yes(
        "compare: a score that is no number",
        "compare {results} --out t.csv",
        "(?i)without|left out|nan",
        setup=both(twin(broken), alone),
    ),
    yes("compare: a score without end", "compare {results} --metric nll", "inf", setup=both(twin(endless), alone)),
    yes(
        "compare: a run without a seed",
        "compare {results} --out t.csv",
        setup=both(twin(missing), alone),
        check=rows(1),
    ),
    yes("compare: half a finished table", "compare {results}", "(?i)left out", setup=both(twin(half), alone)),
    yes(
        "compare: a run that goes on",
        "compare {results}",
        "(?i)left out",
        setup=both(twin(lambda folder: change_manifest(folder, status="running")), alone),
    ),
    no(
        "compare: nothing finished",
        "compare {results}/ready/twin",
        "finished",
        setup=twin(lambda folder: change_manifest(folder, status="failed")),
    ),
    yes(
        "compare: two datasets of one label",
        "compare {results}",
        setup=both(twin(dataset__name="mnist"), alone),
        check=lambda place, out, err: _twice(out, "Digits"),
    ),
    yes("compare: by a key with one value", "compare {results} --by batch_size", "batch_size"),
    lines("temperatures", "0.5", temperature=0.5, method__optimizer__temperature=0.5),
    lines("step sizes", "lr", method__optimizer__lr=0.125),
    lines("divisions of the inputs", "divide", dataset__divide=8),
    lines("adaptations of V", "always", method__optimizer__v_adapt="always"),
    lines("batch sizes", "batch", batch_size=50),
    lines("networks of one label", "widths", model__widths=[8]),
    lines(
        "averages of members", "log", members__average="log_probability", method__predictive__average="log_probability"
    ),
    yes("plot: a score that is no number", "plot {results} --out f.svg", "f.svg", setup=both(twin(broken), alone)),
    yes(
        "plot: scores without end", "plot {results} --metric nll --out f.svg", "f.svg", setup=both(twin(endless), alone)
    ),
    no(
        "plot: nothing but scores that are no numbers",
        "plot {results}/ready/twin --out f.svg",
        "no values|error",
        setup=twin(broken),
    ),
    yes("plot: a run without a seed", "plot {results} --out f.svg", "f.svg", setup=both(twin(missing), alone)),
    yes(
        "plot: a run that goes on",
        "plot {results} --out f.svg",
        "f.svg",
        setup=both(twin(lambda folder: change_manifest(folder, status="running")), alone),
    ),
    yes(
        "collect: a key that differs", "collect {results}", "dataset.divide", setup=both(twin(dataset__divide=8), alone)
    ),
    yes("collect: a key of a column's name", "collect {results}", "config.error", setup=both(twin(error=5), alone)),
    yes(
        "collect: a key with a comma and quotes",
        "collect {results}",
        setup=both(twin(**{'a,"b': 5}), alone),
        check=lambda place, out, err: _rectangular(out),
    ),
    yes(
        "collect: a value with a line break",
        "collect {results}",
        setup=both(twin(model__label="a\nb,c"), alone),
        check=lambda place, out, err: _rectangular(out),
    ),
    yes("collect: a run without a seed", "collect {results}", "read 2 runs", setup=both(twin(missing), alone)),
    yes("collect: copies", "collect {results} --out t.csv", "read 4 runs", setup=copies),
    yes("collect: one run named three times", "collect {psgld} {psgld}/. {psgld}/metrics.csv", "read 1 run "),
    yes("ls: runs that differ", "ls runs", "twin", setup=both(twin(dataset__divide=8), alone)),
    yes("ls: a run without a seed", "ls runs", "twin", setup=both(twin(missing), alone)),
    yes("ls: a score that is no number", "ls runs", "twin", setup=both(twin(broken), alone)),
]


def _twice(out: str, word: str) -> None:
    assert out.count(word) >= 2, "two datasets in one table"


def _rectangular(out: str) -> None:
    import io

    table = list(csv.reader(io.StringIO(out)))
    assert len(table) > 2 and len({len(row) for row in table}) == 1
