"""B1: a results folder of somebody else is data. Nothing that it names is imported, called or followed."""

from __future__ import annotations

import os

from hostile.case import Case, no, yes
from hostile.place import Place, both, change_config, change_manifest, config, manifest, text


def unharmed(place: Place, out: str, err: str) -> None:
    assert not place.mark.exists(), "planted code ran"


def no_escape(place: Place, out: str, err: str) -> None:
    assert "\x1b]" not in out + err and "\x1b[2J" not in out + err, "an escape sequence reaches the terminal"


def planted(run: str, key: str, module: str = "planted", **options: object) -> object:
    """Return a setup: `key` of the run names a module that lies in its folder and in the working directory."""

    def setup(place: Place) -> None:
        place.plant("planted.py")
        place.plant(str(place.run(run).relative_to(place.tmp) / "planted.py"))
        change_config(place.run(run), **{key: {"name": module, **options}})

    return setup


def in_run(*names: str) -> object:
    """Return a setup that plants modules in the folder of the run `psgld`, under names that libraries look for."""

    def setup(place: Place) -> None:
        for name in names:
            place.plant(str(place.run("psgld").relative_to(place.tmp) / f"{name}.py"))

    return setup


def evil_pickle(place: Place) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {place.mark}",)

    for name in ("psgld", "sgld", "sparse"):
        (place.run(name) / "checkpoint.pt").write_bytes(pickle.dumps({"chains": Evil()}))


def link(name: str, target: str) -> object:
    def setup(place: Place) -> None:
        path = place.run("psgld") / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return setup


def folder_in_the_way(run: str, name: str) -> object:
    return lambda place: (place.run(run) / name).mkdir()


def dangling(place: Place) -> None:
    for name in ("network.pt", "network.json"):
        (place.run("psgld") / name).symlink_to(place.mark)


def loop(place: Place) -> None:
    (place.results / "again").symlink_to(place.results)
    (place.results / "self").symlink_to("self")


def with_init_from(place: Place) -> None:
    place.plant("planted.py")
    change_config(place.run("sgld"), model={"name": "planted.build"})


ESCAPE = "\x1b]0;owned\x07\x1b[2J"
CODE = {"check": unharmed}
CASES: list[Case] = [
    no(
        "exec as a network", "export {psgld}", "builtins.exec", setup=planted("psgld", "model", "builtins.exec"), **CODE
    ),
    no("run_path as layers", "sparsity {sparse}", "runpy", setup=planted("sparse", "method__layers", "runpy.run_path")),
    no(
        "a module that opens a browser",
        "export {sgld}",
        "antigravity",
        setup=config("sgld", dataset__name="antigravity.x"),
    ),
    no(
        "a function as activation", "export {psgld}", "activation", setup=config("psgld", model__activation="os.system")
    ),
    no(
        "a function as initialisation",
        "export {psgld}",
        "init",
        setup=config("psgld", model__init="subprocess.getoutput"),
    ),
    no("a target for Hydra", "export {psgld}", "_target_", setup=config("psgld", model___target_="os.system")),
    no(
        "a target in the layers",
        "sparsity {sparse}",
        "_target_",
        setup=config("sparse", method__layers___target_="os.system"),
    ),
    no(
        "options of the first layer name code",
        "sparsity {sparse}",
        "input",
        setup=config("sparse", method__layers__input={"name": "timeit.timeit", "setup": "1"}),
    ),
    no("a dataset up the tree", "export {psgld}", "x", setup=config("psgld", dataset__name="../../x")),
    no("a key of Hydra's own", "export {psgld}", "hydra", setup=config("psgld", hydra={"run": {"dir": "/"}})),
    yes("data of an unknown user", "export {psgld}", "network", setup=config("psgld", data__root="~nobody_here/x")),
    no(
        "an allowed package that is no network",
        "export {psgld} --allow-code subprocess",
        "subprocess.run",
        setup=planted("psgld", "model", "subprocess.run", args=["touch", "executed"]),
        **CODE,
    ),
    no(
        "an empty package to allow",
        "export {psgld} --allow-code ''",
        "planted.build",
        setup=planted("psgld", "model", "planted.build"),
        **CODE,
    ),
    no(
        "a dot to allow",
        "sparsity {sparse} --allow-code .",
        "planted.Layer",
        setup=planted("sparse", "method__layers", "planted.Layer"),
        **CODE,
    ),
    no(
        "another package allowed",
        "export {psgld} --allow-code plan --allow-code ted",
        "planted.build",
        setup=planted("psgld", "model", "planted.build"),
        **CODE,
    ),
    no(
        "out-of-distribution code",
        "export {psgld}",
        "planted",
        setup=both(planted("psgld", "model", "mlp", widths=[4]), config("psgld", eval__ood=["planted.data"])),
        **CODE,
    ),
    no("a head that is code", "sparsity {sparse}", "planted", setup=planted("sparse", "task", "planted.Task"), **CODE),
    yes(
        "planted modules that pandas looks for",
        "compare .",
        cwd="{psgld}",
        fresh=True,
        setup=in_run("numexpr", "bottleneck", "pyarrow", "psgld", "lxml"),
        **CODE,
    ),
    yes(
        "planted modules that matplotlib looks for",
        "plot . --formats svg --out {tmp}/f",
        cwd="{psgld}",
        fresh=True,
        setup=in_run("IPython", "PyQt6", "cycler_plugin", "tkinter_x"),
        **CODE,
    ),
    yes(
        "planted modules that torch looks for",
        "export .",
        cwd="{psgld}",
        fresh=True,
        setup=in_run("triton", "opt_einsum", "torch_xla", "expecttest", "mlp", "digits"),
        **CODE,
    ),
    yes(
        "planted modules for collect",
        "collect . --out {tmp}/c.csv",
        cwd="{psgld}",
        fresh=True,
        setup=in_run("numexpr", "bottleneck", "pyarrow", "fastparquet"),
        **CODE,
    ),
    no(
        "a pickle as the start of a run",
        "run TINY method=sgd method.init_from={psgld}",
        "checkpoint.pt",
        setup=evil_pickle,
        **CODE,
    ),
    yes(
        "the start of a run names code",
        "run TINY method=sgld chains=2 method.init_from={sgld}",
        "",
        setup=with_init_from,
        **CODE,
    ),
    yes(
        "a variable of the environment in a label",
        "ls runs",
        "oc.env:HOME",
        setup=config("psgld", dataset__name="${oc.env:HOME}"),
    ),
    yes("escape sequences in ls", "ls runs", setup=config("psgld", method__name=f"x{ESCAPE}"), check=no_escape),
    yes(
        "escape sequences in compare",
        "compare {results}",
        setup=config("psgld", method__label=f"x{ESCAPE}", method__name=f"y{ESCAPE}"),
        check=no_escape,
    ),
    yes(
        "escape sequences in a dataset's label",
        "compare {results}",
        setup=config("sgld", dataset__label=f"x{ESCAPE}", dataset__name="other"),
        check=no_escape,
    ),
    yes(
        "escape sequences in export",
        "export {psgld}",
        setup=config("psgld", method__label=f"x{ESCAPE}"),
        check=no_escape,
    ),
    yes(
        "escape sequences in sparsity",
        "sparsity {sparse} --thresholds 0 --formats svg",
        setup=config("sparse", method__label=f"x{ESCAPE}"),
        check=no_escape,
    ),
    no(
        "escape sequences in a message",
        "plot {psgld} --by nope",
        "nope",
        setup=config("psgld", **{f"z{ESCAPE}": 1}),
        check=no_escape,
    ),
    yes(
        "a configuration that links to another file",
        "ls runs",
        "left out|sgld",
        setup=link("config.yaml", "/etc/passwd"),
        check=lambda place, out, err: _without(out + err, "root:"),
    ),
    yes("an endless manifest", "ls runs", "sgld", setup=link("manifest.json", "/dev/zero")),
    yes("an endless table", "compare {results}", "sgld", setup=link("metrics.csv", "/dev/zero")),
    yes("a folder that contains itself", "collect {results} --out c.csv", "read 3 runs", setup=loop),
    no(
        "a folder where the network goes",
        "export {psgld}",
        "network.pt",
        setup=folder_in_the_way("psgld", "network.pt"),
    ),
    no(
        "a folder where the curve goes",
        "sparsity {sparse} --formats svg",
        "sparsity_curve.csv",
        setup=folder_in_the_way("sparse", "sparsity_curve.csv"),
    ),
    yes("links to nowhere", "export {psgld}", "network", setup=dangling, check=unharmed),
    no("a later version's run", "export {psgld}", "manifest.json|version", setup=manifest("psgld", schema=999)),
    yes(
        "a later version's run among others",
        "plot {results} --out f.svg",
        "left out",
        setup=manifest("psgld", schema=10**30),
    ),
    yes(
        "a schema that is a word",
        "ls runs",
        "sgld",
        setup=lambda place: change_manifest(place.run("psgld"), schema="x"),
    ),
    no(
        "a Python object in the configuration",
        "sparsity {sparse}",
        "config.yaml",
        setup=text("sparse", "config.yaml", lambda old: old + "x: !!python/object/new:os.system [touch executed]\n"),
        **CODE,
    ),
]


def _without(shown: str, word: str) -> None:
    assert word not in shown
