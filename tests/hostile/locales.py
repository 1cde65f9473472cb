"""B11: locales, encodings and names in all of the world's letters."""

from __future__ import annotations

import os

from hostile.case import Case, no, yes
from hostile.place import Place, config, files

C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ASCII = {"PYTHONIOENCODING": "ascii"}
STRICT = {"PYTHONIOENCODING": "ascii:strict"}
LATIN = {"PYTHONIOENCODING": "latin-1"}
CODEPAGE = {"PYTHONIOENCODING": "cp1252"}
WIDE = {"PYTHONIOENCODING": "utf-16"}
T = "run TINY method=sgd "
NAMES = "漢字 العربية 🎲 é e\u0301 \u202eabc"


def odd_folders(place: Place) -> None:
    """Add folders whose names are no UTF-8, with and without a run in them."""
    os.mkdir(os.fsencode(place.results) + b"/\xff\xfe")
    os.rename(os.fsencode(place.run("psgld")), os.fsencode(place.results) + b"/ready/x-psgld-\xe9")


def labelled(run: str = "psgld") -> object:
    return config(run, method__label=NAMES, dataset__label=NAMES)


def fresh(name: str, line: str, env: dict[str, str], says: str = "", **more: object) -> Case:
    return yes(name, line, says, env=env, fresh=True, **more)


CASES: list[Case] = [
    fresh("help in C", "--help", C, "sparsity"),
    fresh("help in ASCII", "compare --help", STRICT, "predictor"),
    fresh("help of run in Latin-1", "run --help", LATIN, "method"),
    fresh("ls methods in C", "ls methods", C, "psgld"),
    fresh("ls metrics in ASCII", "ls metrics", STRICT, "ace"),
    fresh("ls datasets in a code page", "ls datasets", CODEPAGE, "digits"),
    fresh("ls schedules in Latin-1", "ls schedules", LATIN, "polynomial"),
    fresh("ls experiments in two bytes", "ls experiments", WIDE),
    fresh("ls figures in C", "ls figures", C),
    fresh("ls runs with all letters in C", "ls runs", C, "sgld", setup=labelled()),
    fresh("ls runs with all letters in ASCII", "ls runs", STRICT, "sgld", setup=labelled()),
    fresh("compare with all letters in C", "compare {results} --out t.md", C, "sgld", setup=labelled()),
    fresh("compare in ASCII", "compare {results} --by method.optimizer.lr", STRICT, "lr"),
    fresh(
        "collect with all letters in a code page", "collect {results} --out t.csv", CODEPAGE, "read 3", setup=labelled()
    ),
    fresh("collect to stdout in ASCII", "collect {results}", STRICT, "read 3", setup=config("psgld", x=NAMES)),
    fresh("plot with all letters in C", "plot {results} --out f --formats svg,pdf,png", C, "svg", setup=labelled()),
    fresh("export in ASCII", "export {psgld}", STRICT, "network"),
    fresh("export in C", "export {sparse} --sparse", C, "network"),
    fresh("sparsity in ASCII", "sparsity {sparse} --thresholds 0,3 --formats svg", STRICT, "svg"),
    fresh("sparsity in C", "sparsity {sparse} --thresholds 0,3 --formats svg", C, "svg", setup=labelled("sparse")),
    fresh("data verify in C", "data verify digits", C, "digits"),
    no("data verify of nothing in ASCII", "data verify a9a --root {tmp}", "a9a", env=STRICT, fresh=True),
    fresh("a run in the Turkish locale", T + "name=tr", {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"}),
    fresh("a run in a locale that does not exist", T + "name=xx", {"LC_ALL": "xx_XX.nonsense"}),
    fresh(
        "a run in the German locale",
        T + "method.optimizer.lr=0.5",
        {"LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8"},
    ),
    fresh("a run with all letters in C", T + "'method.label=\"漢字 Σ\"'", C),
    no("a message in ASCII", T + "'method.optimizer.lr=größer'", "lr=gr", env=STRICT, fresh=True),
    no("a message in C", T + "'name=a/漢'", "name=a", env=C, fresh=True),
    no(
        "a search in ASCII",
        "tune TINY method=sgd dataset.valid=0.2 'batch_size=interval(ä,ö)'",
        "batch_size",
        env=STRICT,
        fresh=True,
    ),
    no(
        "a search in C",
        "tune TINY method=psgld dataset.valid=0.2 'method.optimizer.lambda_=interval(0,1)'",
        "lambda_",
        env=C,
        fresh=True,
    ),
    yes("a name with letters", T + "\"name='été_漢字'\"", "été_漢字"),
    yes("results with letters", T + "\"results='ergebnisse_ß_🎲'\"", "ergebnisse_ß_🎲"),
    yes("results with a blank and quotes", (*T.split(), 'results="a \'b"'), "a 'b"),
    no("a name of a letter that is turned", (*T.split(), "name=a\u202eb"), "name"),
    no("a name of one invisible letter", (*T.split(), "name=\u200b"), "name"),
    no("a value of bytes", (*T.split(), "name=\udcff"), "name"),
    no("a folder of bytes", ("ls", "runs", "--results", "\udcff"), "results"),
    no("a path of bytes", ("compare", "\udcfe"), "no such"),
    no("a path of a lone surrogate", ("plot", "\udcfe/x", "--out", "f.svg"), "no such"),
    no("a dataset of bytes", ("data", "verify", "\udcff"), "data|no"),
    no("a dataset of other letters", "data verify ｄｉｇｉｔｓ", "ｄｉｇｉｔｓ.*digits"),
    no("a list of other letters", "ls ｒｕｎｓ", "ｒｕｎｓ.*runs"),
    no("a method of other letters", "run method=ѕgd", "ѕgd"),
    no("a number of other digits", T + "prior.variance=½", "prior.variance=½"),
    no("a key of other letters", T + "ѕeed=3", "ѕeed"),
    no("a quote of a word processor", T + "‘name=x’", "‘name"),
    no("a minus of a word processor", T + "–force", "–force"),
    no("blanks that do not break", (*T.split(), "seed=\u00a03x"), "seed"),
    yes("runs in folders that are no UTF-8: ls", "ls runs", "sgld", setup=odd_folders),
    yes("runs in folders that are no UTF-8: compare", "compare {results}", "sgld", setup=odd_folders),
    yes("runs in folders that are no UTF-8: collect", "collect {results} --out t.csv", "read 3", setup=odd_folders),
    yes("runs in folders that are no UTF-8: collected to stdout", "collect {results}", "read 3", setup=odd_folders),
    yes("runs in folders that are no UTF-8: plot", "plot {results} --out f.svg", "f.svg", setup=odd_folders),
    yes("a figure with letters in its name", "plot {results} --out bild_ß_漢.svg", "bild_ß_漢"),
    yes("a figure with letters in its title", "plot {results} --title '漢字 🎲 \u202eabc' --out f.pdf", "f.pdf"),
    yes("a table with letters in its name", "compare {results} --out tafel_ß.csv", ""),
    yes("a network into a folder with letters", "export {psgld} --out 'netz ß'", "network"),
    no(
        "a config dir of other encodings",
        T + "--config-dir my dataset=mine",
        "mine.yaml",
        setup=files(my__dataset__mine="name: digits\nlabel: été\n".encode("latin-1")),
    ),
    no(
        "a config dir with a byte order mark in the middle",
        T + "--config-dir my schedule=mine",
        "schedule",
        setup=files(my__schedule__mine="name: constant\n\ufeffx: 1\n"),
    ),
]
