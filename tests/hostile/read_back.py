"""B10: what is read back is not believed: manifest, metrics, configuration and checkpoint that are damaged."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from typing import Any

from hostile.case import Case, no, yes
from hostile.place import QUICK, Place, both, change_manifest, config, manifest, text

RUN = " ".join(("run", *QUICK, "results={results} "))
PSGLD, SPARSE = RUN + "method=psgld", RUN + "method=sparse_vd"
LEFT = "(?i)left out"


def lines(run: str, change: Callable[[list[str]], list[str]]) -> Callable[[Place], None]:
    """Return a setup that changes the lines of metrics.csv."""
    return text(run, "metrics.csv", lambda old: "\n".join(change(old.splitlines())) + "\n")


def raw(run: str, file: str, content: bytes) -> Callable[[Place], None]:
    def setup(place: Place) -> None:
        (place.run(run) / file).write_bytes(content)

    return setup


def without(run: str, *names: str) -> Callable[[Place], None]:
    def setup(place: Place) -> None:
        for name in names:
            (place.run(run) / name).unlink()

    return setup


def folder_for(run: str, name: str) -> Callable[[Place], None]:
    def setup(place: Place) -> None:
        (place.run(run) / name).unlink()
        (place.run(run) / name).mkdir()

    return setup


def pipe_for(run: str, name: str) -> Callable[[Place], None]:
    def setup(place: Place) -> None:
        (place.run(run) / name).unlink()
        os.mkfifo(place.run(run) / name)

    return setup


def unfinished(run: str) -> Callable[[Place], None]:
    """Return a setup: the run was stopped; its checkpoint is there."""
    return lambda place: change_manifest(place.run(run), status="interrupted")


def state(run: str, change: Callable[[dict[str, Any]], Any], stop: bool = False) -> Callable[[Place], None]:
    """Return a setup that changes the checkpoint and writes it as the tool does, digest and all."""

    def setup(place: Place) -> None:
        from bnnbench.store import checkpoint

        folder = place.run(run)
        content = checkpoint.load(folder / "checkpoint.pt")
        changed = change(content)
        (folder / "checkpoint.pt").unlink()
        checkpoint.write(folder, content if changed is None else changed)
        (folder / checkpoint.PREVIOUS).unlink(missing_ok=True)
        if stop:
            unfinished(run)(place)

    return setup


def each_tensor(node: Any, change: Callable[[Any], Any]) -> Any:
    """Return `node` with every real tensor in it changed."""
    import torch

    if isinstance(node, torch.Tensor):
        return change(node) if node.is_floating_point() else node
    if isinstance(node, dict):
        return {key: each_tensor(value, change) for key, value in node.items()}
    return type(node)(each_tensor(value, change) for value in node) if isinstance(node, list | tuple) else node


def networks(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """Return a change of all tensors of the networks in a checkpoint."""
    return lambda content: content.update(chains=each_tensor(content["chains"], change))


def swapped(place: Place) -> None:
    (place.run("psgld") / "checkpoint.pt").write_bytes((place.run("sgld") / "checkpoint.pt").read_bytes())


def other_archive(run: str) -> Callable[[Place], None]:
    def setup(place: Place) -> None:
        with zipfile.ZipFile(place.run(run) / "checkpoint.pt", "w") as archive:
            archive.writestr("readme.txt", "hello")

    return setup


def flipped(run: str, where: float) -> Callable[[Place], None]:
    def setup(place: Place) -> None:
        path = place.run(run) / "checkpoint.pt"
        content = bytearray(path.read_bytes())
        content[int(len(content) * where)] ^= 16
        path.write_bytes(content)

    return setup


def cut(run: str, share: float) -> Callable[[Place], None]:
    def setup(place: Place) -> None:
        path = place.run(run) / "checkpoint.pt"
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return setup


def not_finished_with_nonsense(place: Place, out: str, err: str) -> None:
    status = json.loads((place.run("psgld") / "manifest.json").read_text())["status"]
    assert status == "finished"


NESTED = "{a: " * 400 + "1" + "}" * 400
TABLES: list[Case] = [
    yes(
        "metrics: lines of Windows",
        "compare {results}",
        "psgld",
        setup=text("psgld", "metrics.csv", lambda old: old.replace("\n", "\r\n")),
    ),
    yes(
        "metrics: columns in another order",
        "compare {results}",
        "psgld",
        setup=lines("psgld", lambda rows: [",".join(reversed(row.split(","))) for row in rows]),
    ),
    yes(
        "metrics: all in quotes",
        "collect {results}",
        "read 3 runs",
        setup=lines("psgld", lambda rows: [",".join(f'"{cell}"' for cell in row.split(",")) for row in rows]),
    ),
    yes(
        "metrics: blank lines",
        "plot {psgld} --out f.svg",
        "f.svg",
        setup=lines("psgld", lambda rows: [line for row in rows for line in (row, "")]),
    ),
    no(
        "metrics: a word for a number",
        "plot {psgld} --out f.svg",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [*rows[:-1], rows[-1].replace("0.", "zero.")]),
    ),
    no(
        "metrics: decimal commas",
        "compare {psgld}",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [rows[0], *(row.replace(".", ",") for row in rows[1:])]),
    ),
    no(
        "metrics: a column twice",
        "compare {psgld}",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [rows[0] + ",error", *(row + ",0.5" for row in rows[1:])]),
    ),
    no(
        "metrics: the head again in the middle",
        "collect {psgld}",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [*rows[:3], rows[0], *rows[3:]]),
    ),
    no("metrics: rows twice", "compare {psgld}", "metrics.csv", setup=lines("psgld", lambda rows: [*rows, *rows[1:]])),
    no(
        "metrics: a NUL",
        "collect {psgld}",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [*rows[:-1], rows[-1] + "\0"]),
    ),
    no(
        "metrics: a cell of a megabyte",
        "collect {psgld}",
        "metrics.csv",
        setup=lines(
            "psgld", lambda rows: [*rows, rows[-1].replace("posterior", "x" * 10**6).replace("current", "x" * 10**6)]
        ),
    ),
    no(
        "metrics: an open quote",
        "plot {psgld} --out f.svg",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [*rows[:2], '"' + rows[2], *rows[3:]]),
    ),
    yes("metrics: the head alone among others", "compare {results}", LEFT, setup=lines("psgld", lambda rows: rows[:1])),
    yes("metrics: a folder among others", "ls runs", LEFT, setup=folder_for("psgld", "metrics.csv")),
    yes("metrics: a pipe among others", "compare {results}", LEFT, setup=pipe_for("psgld", "metrics.csv")),
    yes(
        "metrics: a picture among others",
        "plot {results} --out f.svg",
        LEFT,
        setup=raw("psgld", "metrics.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9),
    ),
    yes(
        "metrics: zeros after a crash of the machine",
        "compare {results}",
        LEFT,
        setup=raw("psgld", "metrics.csv", b"\0" * 4096),
    ),
    no(
        "metrics: a number with an underscore",
        "compare {psgld}",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [*rows[:-1], rows[-1].replace(".", "_1.")]),
    ),
    no(
        "metrics: chains that are no numbers",
        "compare {psgld}",
        "metrics.csv",
        setup=lines("psgld", lambda rows: [rows[0], *(row.replace(",0,", ",zero,", 1) for row in rows[1:])]),
    ),
    no(
        "metrics: a predictor that nobody is",
        "plot {psgld} --out f.svg",
        "metrics.csv|values",
        setup=lines(
            "psgld",
            lambda rows: [
                rows[0],
                *(row.replace("posterior", "oracle").replace("current", "oracle") for row in rows[1:]),
            ],
        ),
    ),
]
SETTINGS: list[Case] = [
    yes(
        "config: nested four hundred deep",
        "compare {results}",
        "(?i)left out|sgld",
        setup=text("psgld", "config.yaml", lambda old: old + f"deep: {NESTED}\n"),
    ),
    yes(
        "config: nested four hundred deep, plotted",
        "plot {results} --out f.svg",
        "f.svg",
        setup=text("psgld", "config.yaml", lambda old: old + f"deep: {NESTED}\n"),
    ),
    yes("config: a method that is a list", "ls runs", "sgld", setup=config("psgld", method=["a", "b"])),
    yes("config: a method that is nothing", "compare {results}", "sgld", setup=config("psgld", method=None)),
    yes(
        "config: a dataset that is a word",
        "plot {results} --out f.svg",
        "f.svg",
        setup=config("psgld", dataset="digits"),
    ),
    yes(
        "config: a label that is a list",
        "plot {results} --out f.svg",
        "f.svg",
        setup=config("psgld", method__label=[1, [2]]),
    ),
    yes(
        "config: a label that is a mapping", "compare {results}", "sgld", setup=config("psgld", method__label={"a": 1})
    ),
    yes("config: a name that is a truth", "ls runs", "sgld", setup=config("psgld", method__name=True)),
    yes("config: a seed in words", "compare {results}", "sgld", setup=config("psgld", seed="first")),
    yes("config: a seed beyond numbers", "collect {results}", "read 3", setup=config("psgld", seed=10**400)),
    yes("config: a seed of no number", "compare {results}", "sgld", setup=config("psgld", seed=float("nan"))),
    yes(
        "config: keys that are numbers",
        "collect {results}",
        "read [23] runs",
        setup=text("psgld", "config.yaml", lambda old: old + "5: 1\n? [1, 2]\n: 3\nnull: 4\n"),
    ),
    yes(
        "config: an optimiser that is a list",
        "compare {results} --by method.optimizer.lr",
        "lr",
        setup=config("psgld", method__optimizer=[1]),
    ),
    yes(
        "config: a date where a number was",
        "compare {results} --by seed2",
        "seed2",
        setup=text("psgld", "config.yaml", lambda old: old + "seed2: 2024-01-01\n"),
    ),
    no("config: widths in words", "export {psgld}", "widths", setup=config("psgld", model__widths=["four"])),
    no(
        "config: other widths than the network's",
        "export {psgld}",
        "widths|network|shape|size|checkpoint",
        setup=config("psgld", model__widths=[5]),
    ),
    no(
        "config: fewer chains than the network's",
        "export {sgld}",
        "chains|checkpoint|shape",
        setup=config("sgld", chains=5),
    ),
    no("config: an unknown key", "sparsity {sparse}", "frobnicate", setup=config("sparse", frobnicate=1)),
    no(
        "config: a key that is gone",
        "export {psgld}",
        "config.yaml|temperature",
        setup=text("psgld", "config.yaml", lambda old: old.replace("temperature:", "temprature:")),
    ),
    no("config: no layers", "sparsity {sparse}", "layers", setup=config("sparse", method__layers=None)),
    no(
        "config: thresholds beyond their range",
        "sparsity {sparse}",
        "threshold",
        setup=config("sparse", method__layers__threshold=99),
    ),
    no(
        "config: reals beyond numbers",
        "export {psgld}",
        "variance",
        setup=config("psgld", prior__variance=float("inf")),
    ),
    yes(
        "config: two documents among others",
        "compare {results}",
        LEFT,
        setup=text("psgld", "config.yaml", lambda old: old + "---\nx: 1\n"),
    ),
    yes(
        "config: half of it among others",
        "plot {results} --out f.svg",
        LEFT,
        setup=text("psgld", "config.yaml", lambda old: old[: old.index("method:") + 20] + "'\n"),
    ),
]
MANIFESTS: list[Case] = [
    yes("manifest: a status that is a list", "ls runs", "sgld", setup=manifest("psgld", status=["finished"])),
    yes("manifest: a status that nobody has", "compare {results}", LEFT, setup=manifest("psgld", status="done")),
    yes("manifest: versions that are words", "ls runs", "psgld", setup=manifest("psgld", versions="new")),
    yes("manifest: measures that are a number", "compare {results}", "sgld", setup=manifest("psgld", measures=5)),
    yes(
        "manifest: measures without names",
        "plot {results} --out f.svg",
        "f.svg",
        setup=manifest("psgld", measures=[{"unit": 3}]),
    ),
    yes("manifest: a task that is a number", "compare {results}", "sgld", setup=manifest("psgld", task=7)),
    yes("manifest: a task that is nothing", "plot {results} --out f.svg", "f.svg", setup=manifest("psgld", task=None)),
    yes("manifest: warnings that are a number", "ls runs", "psgld", setup=manifest("psgld", warnings=5)),
    yes("manifest: a schema below 0", "collect {results}", "read", setup=manifest("psgld", schema=-1)),
    yes("manifest: a list", "ls runs", "sgld", setup=raw("psgld", "manifest.json", b"[1, 2]")),
    yes("manifest: two objects", "collect {results}", "read", setup=raw("psgld", "manifest.json", b"{}{}")),
    yes(
        "manifest: zeros after a crash of the machine",
        "ls runs",
        "psgld|left out",
        setup=raw("psgld", "manifest.json", b"\0" * 512),
    ),
    yes("manifest: a folder", "ls runs", "sgld", setup=folder_for("psgld", "manifest.json")),
    yes(
        "manifest: numbers beyond numbers",
        "ls runs",
        "sgld",
        setup=raw("psgld", "manifest.json", b'{"status": ' + b"9" * 5000 + b"}"),
    ),
    yes(
        "manifest: no task to export for",
        "export {psgld}",
        "network",
        setup=raw("psgld", "manifest.json", b"{}"),
    ),
]
CHECKPOINTS: list[Case] = [
    no("checkpoint: empty", "export {psgld}", "checkpoint.pt", setup=raw("psgld", "checkpoint.pt", b"")),
    no("checkpoint: half", "sparsity {sparse}", "checkpoint.pt", setup=cut("sparse", 0.5)),
    no("checkpoint: but its last byte", "export {psgld}", "checkpoint.pt", setup=cut("psgld", 0.9999)),
    no("checkpoint: gone", "sparsity {sparse}", "checkpoint", setup=without("sparse", "checkpoint.pt")),
    no("checkpoint: a folder", "export {psgld}", "checkpoint.pt", setup=folder_for("psgld", "checkpoint.pt")),
    no("checkpoint: a pipe", "export {psgld}", "checkpoint.pt", setup=pipe_for("psgld", "checkpoint.pt")),
    no("checkpoint: another archive", "export {psgld}", "checkpoint.pt", setup=other_archive("psgld")),
    no("checkpoint: of another run", "export {psgld}", "checkpoint", setup=swapped),
    no("checkpoint: a flipped bit", "sparsity {sparse}", "checkpoint.pt", setup=flipped("sparse", 0.4)),
    no("checkpoint: a flipped bit near its end", "export {sgld}", "checkpoint.pt", setup=flipped("sgld", 0.95)),
    no("checkpoint: no networks", "export {psgld}", "checkpoint", setup=state("psgld", lambda c: c.update(chains={}))),
    no(
        "checkpoint: networks that are a list",
        "sparsity {sparse}",
        "checkpoint",
        setup=state("sparse", lambda c: c.update(chains=[1, 2])),
    ),
    no(
        "checkpoint: networks of no numbers",
        "export {psgld}",
        "finite|nan|checkpoint",
        setup=state("psgld", networks(lambda t: t * float("nan"))),
    ),
    no(
        "checkpoint: weights of no numbers",
        "sparsity {sparse}",
        "finite|nan|checkpoint",
        setup=state("sparse", networks(lambda t: t * float("nan"))),
    ),
    no(
        "checkpoint: networks of other shapes",
        "export {psgld}",
        "checkpoint|shape",
        setup=state("psgld", networks(lambda t: t[..., :1])),
    ),
    no(
        "checkpoint: a part is missing",
        "export {psgld}",
        "checkpoint.pt",
        setup=state("psgld", lambda c: c.pop("noise") and None),
    ),
    no(
        "checkpoint: a later version's",
        "export {psgld}",
        "checkpoint.pt",
        setup=state("psgld", lambda c: c.update(schema=99)),
    ),
    no(
        "checkpoint: a list of tensors",
        "sparsity {sparse}",
        "checkpoint.pt",
        setup=lambda place: _save(place, "sparse", [1, 2]),
    ),
    no(
        "resumed: networks of other shapes",
        PSGLD,
        "checkpoint",
        setup=state("psgld", networks(lambda t: t[..., :1]), stop=True),
    ),
    no(
        "resumed: an optimiser without state",
        PSGLD,
        "checkpoint",
        setup=state("psgld", lambda c: c.update(optimizer={}), stop=True),
    ),
    yes(
        "resumed: an iteration in words",
        PSGLD,
        "damaged",
        setup=state("psgld", lambda c: c.update(iteration="four"), stop=True),
        check=not_finished_with_nonsense,
    ),
    no(
        "resumed: an iteration beyond the run",
        PSGLD,
        "checkpoint|iteration",
        setup=state("psgld", lambda c: c.update(iteration=10**6), stop=True),
    ),
    yes(
        "resumed: an iteration before the first",
        PSGLD,
        "damaged",
        setup=state("psgld", lambda c: c.update(iteration=-3), stop=True),
        check=not_finished_with_nonsense,
    ),
    no(
        "resumed: noise of another kind",
        PSGLD,
        "checkpoint",
        setup=state("psgld", lambda c: c.update(noise=7), stop=True),
    ),
    no(
        "resumed: an approximation of another method",
        PSGLD,
        "checkpoint",
        setup=state("psgld", lambda c: c.update(approximation={"a": 1}), stop=True),
    ),
    yes(
        "resumed: a table of negative length",
        PSGLD,
        "damaged",
        setup=state("psgld", lambda c: c.update(csv_bytes=-5), stop=True),
        check=not_finished_with_nonsense,
    ),
    no(
        "resumed: seconds in words",
        PSGLD,
        "checkpoint|seconds",
        setup=state("psgld", lambda c: c.update(seconds="long"), stop=True),
    ),
    yes(
        "resumed: a bit flipped",
        PSGLD,
        "damaged",
        setup=both(flipped("psgld", 0.5), unfinished("psgld")),
        check=not_finished_with_nonsense,
    ),
    yes(
        "resumed: empty",
        PSGLD,
        "damaged|anew",
        setup=both(raw("psgld", "checkpoint.pt", b""), unfinished("psgld")),
        check=not_finished_with_nonsense,
    ),
    no(
        "resumed: a folder for a checkpoint",
        PSGLD,
        "checkpoint.pt",
        setup=both(folder_for("psgld", "checkpoint.pt"), unfinished("psgld")),
    ),
    yes(
        "resumed: the table is gone",
        PSGLD,
        "anew|missing",
        setup=both(without("psgld", "metrics.csv"), unfinished("psgld")),
        check=not_finished_with_nonsense,
    ),
    no(
        "resumed: a folder for the table",
        PSGLD,
        "metrics.csv",
        setup=both(folder_for("psgld", "metrics.csv"), unfinished("psgld")),
    ),
    yes("finished: the table is gone", PSGLD, "lost|missing|anew", setup=without("psgld", "metrics.csv")),
    yes("finished: the table is empty", PSGLD, "lost|missing|anew|empty", setup=raw("psgld", "metrics.csv", b"")),
    no(
        "start: networks of other shapes",
        RUN.replace("model.widths=[4]", "model.widths=[6]") + "method=sgd method.init_from={psgld}",
        "init_from",
    ),
    no(
        "start: of another model",
        RUN + "method=sgd method.init_from={psgld} model=logistic ~model.widths",
        "init_from|widths",
    ),
    no("start: a folder that is no run", RUN + "method=sgd method.init_from={results}", "init_from"),
    no("start: of drawn layers", RUN + "method=sgd method.init_from={sparse}", "init_from"),
    no(
        "start: networks of no numbers",
        RUN + "method=sgd method.init_from={psgld}",
        "init_from|finite",
        setup=state("psgld", networks(lambda t: t * float("nan"))),
    ),
    no(
        "start: an empty checkpoint",
        RUN + "method=sgd method.init_from={psgld}",
        "init_from|checkpoint",
        setup=raw("psgld", "checkpoint.pt", b""),
    ),
]
CASES = TABLES + SETTINGS + MANIFESTS + CHECKPOINTS


def _save(place: Place, run: str, content: Any) -> None:
    import torch

    torch.save(content, place.run(run) / "checkpoint.pt")
