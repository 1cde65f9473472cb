"""B4: values, flags, labels and the user's own yaml files."""

from __future__ import annotations

import os

from hostile.case import Case, no, yes
from hostile.place import Place, config, files

R = "run TINY method=sgd "
MINE = "run TINY --config-dir my method=mine "
SGD = "name: sgd\nlabel: Mine\noptimizer: {name: sgd, lr: 0.1}\npredictive: {name: point}\n"
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def fifo(place: Place) -> None:
    (place.tmp / "my/method").mkdir(parents=True)
    os.mkfifo(place.tmp / "my/method/mine.yaml")


def folder_for_a_file(place: Place) -> None:
    (place.tmp / "my/method/mine.yaml").mkdir(parents=True)


def link_to_itself(place: Place) -> None:
    (place.tmp / "my/method").mkdir(parents=True)
    (place.tmp / "my/method/mine.yaml").symlink_to("mine.yaml")


def mine(content: str | bytes) -> dict[str, object]:
    return {"setup": files(my__method__mine=content)}


YAML: list[Case] = [
    no("yaml: empty", MINE, "mine|method", **mine("")),
    no("yaml: a list", MINE, "mine", **mine("- a\n- b\n")),
    no("yaml: a word", MINE, "method.sgd", **mine("sgd\n")),
    no("yaml: a number", MINE, "mine", **mine("42\n")),
    no("yaml: two documents", MINE, "mine.yaml", **mine(SGD + "---\n" + SGD)),
    no("yaml: an end without a beginning", MINE, "mine.yaml", **mine(SGD + "]\n")),
    no("yaml: an open quote", MINE, "mine.yaml", **mine('name: "sgd\n')),
    no("yaml: an alias of nothing", MINE, "mine.yaml", **mine("name: *other\n")),
    no("yaml: aliases that explode", MINE, "mine.yaml|no such key", **mine(SGD + BOMB)),
    no("yaml: a NUL", MINE, "mine.yaml", **mine("name: sgd\0\n")),
    no("yaml: another encoding", MINE, "mine.yaml", **mine("name: sgd\n".encode("utf-32"))),
    no("yaml: defaults that are a number", MINE, "mine", **mine("defaults: 5\n" + SGD)),
    no("yaml: defaults that do not exist", MINE, "nowhere", **mine("defaults: [nowhere]\n" + SGD)),
    no("yaml: an unknown package", MINE, "mine|other", **mine("# @package other.place\n" + SGD)),
    no("yaml: a reference to nothing", MINE, "nope", **mine(SGD + "reference: ${nope}\n")),
    no("yaml: a reference to itself", MINE, "reference|method", **mine(SGD + "reference: ${method.reference}\n")),
    no("yaml: no such variable", MINE, "HOSTILE_NOPE", **mine(SGD + "reference: ${oc.env:HOSTILE_NOPE}\n")),
    no("yaml: no such resolver", MINE, "nosuch", **mine(SGD + "reference: ${nosuch:1}\n")),
    no("yaml: a broken reference", MINE, r"\$\{a", **mine(SGD + "reference: ${a\n")),
    yes("yaml: a date as a label", MINE, "2024-01-01", **mine(SGD.replace("Mine", "2024-01-01"))),
    no("yaml: a number with two points", MINE, "lr", **mine(SGD.replace("0.1", ".5.5"))),
    no("yaml: a number in hours", MINE, "lr", **mine(SGD.replace("0.1", "1:30:x"))),
    no("yaml: a key of another section", MINE, "batch_size", **mine(SGD + "batch_size: 5\n")),
    no("yaml: a key that is a number", MINE, "7", **mine(SGD + "7: 5\n")),
    no("yaml: a missing value", MINE, "label", **mine(SGD.replace("Mine", "???"))),
    no("yaml: a pipe", MINE, "mine", setup=fifo),
    no("yaml: a folder", MINE, "mine", setup=folder_for_a_file),
    no("yaml: a link to itself", MINE, "mine", setup=link_to_itself),
    no("yaml: another ending", MINE, "mine", setup=lambda place: place.write("my/method/mine.yml", SGD)),
    yes("yaml: the tool's own config", R + "--config-dir my", "SGD", setup=files(my__config="seed: [\n")),
    yes("yaml: a file that is well", MINE, "Mine", **mine(SGD)),
    no("a config dir that is a file", R + "--config-dir my.txt", "my.txt", setup=lambda p: p.write("my.txt", "x")),
]
NUMBERS: list[Case] = [
    no("a seed beyond numbers", R + "seed=1e400", "seed"),
    no("a seed in hexadecimal", R + "seed=0x10", "seed=0x10"),
    no("a seed and its unit", R + "seed=3s", "seed=3s"),
    no("an empty seed", R + "seed=", "seed"),
    no("half a chain", R + "chains=1.5", "chains=1.5"),
    no("chains in words", R + "chains=two", "chains=two"),
    yes("a prior wider than numbers", R + "prior.variance=1e40", "SGD"),
    no("a prior in words", R + "prior.variance=wide", "prior.variance=wide"),
    no("division by a negative number", R + "dataset.divide=-16", "dataset.divide=-16"),
    no("division by almost nothing", R + "dataset.divide=1e-45", "divide"),
    no("no bins", R + "eval.ece_bins=0", "ece_bins=0"),
    no("half a bin", R + "eval.ece_bins=2.5", "ece_bins=2.5"),
    no("an evaluation of nothing at a time", R + "eval.batch_size=0", "eval.batch_size=0"),
    no("the same split twice", R + "eval.splits=[test,test]", "test"),
    no("a metric that does not exist", R + "eval.metrics=[acc]", "acc.*ace"),
    no("a metric without a name", R + "'eval.metrics=[{ranges:3}]'", "metrics.*name|name.*metrics"),
    no("a metric of no ranges", R + "'eval.metrics=[{name:ace,ranges:0}]'", "ranges.*0"),
    no("the same metric twice", R + "eval.metrics=[ace,ace]", "ace already"),
    no("a width as text", R + "model.widths=['4']x", "widths"),
    no("half a unit", R + "model.widths=[4.5]", "widths.*4.5"),
    no("a negative unit", R + "model.widths=[-4]", "widths.*-4"),
    no("no list of widths", R + "model.widths=null", "widths"),
    no("a device of another maker", R + "device=tpu", "device=tpu"),
    no("the hundredth GPU", R + "device=cuda:99", "device=cuda:99"),
    no("a device without a number", R + "device=cpu:", "device=cpu:"),
    no("negative threads", R + "threads=-1", "threads=-1"),
    no("threads in parts", R + "threads=0.5", "threads=0.5"),
]
LABELS: list[Case] = [
    no("label: a mapping", R + "'method.label={a:1}'", "method.label"),
    no("label: nothing", R + "method.label=null", "method.label"),
    yes("label: a line break", (*R.split(), 'method.label="two\\nlines"'), ""),
    yes("label: ten thousand letters", (*R.split(), f"method.label={'x' * 10_000}"), ""),
    yes("label: blanks", (*R.split(), 'method.label="   "'), ""),
    no("name: hidden", R + "name=.hidden", "name=.hidden"),
    no("name: two words", R + "'name=a b'", "name=a b"),
    no("name: longer than a folder's", (*R.split(), f"name={'x' * 300}"), "name|too long"),
    no("results: longer than a path", (*R.split(), f"results={'y/' * 3000}"), "results|too long"),
    no("results: below a device", R + "results=/dev/null/x", "/dev/null"),
    no("results: nothing", R + "results=", "results"),
    no("results: a number", R + "results=5", "results=5"),
    yes("plot: an empty title", "plot {results} --title '' --out f.svg", "f.svg"),
    yes("plot: a label of dollars", "plot {results} --out f.svg", "f.svg", setup=config("psgld", method__label="$$$")),
    yes(
        "plot: a label of line breaks",
        "plot {results} --out f.svg",
        "f.svg",
        setup=config("sgld", method__label="\n\n"),
    ),
    yes("plot: a title of underscores", "plot {results} --title '$a__b$ ^ \\\\' --out f.svg", "f.svg"),
    yes(
        "plot: a title of control characters", ("plot", "{results}", "--title", "a\x07\x1bb", "--out", "f.svg"), "f.svg"
    ),
    yes(
        "compare: a label of rich markup",
        "compare {results}",
        r"\[link=x\]",
        setup=config("psgld", method__label="[link=x]y", method__name="[link=x]y"),
    ),
]
FLAGS: list[Case] = [
    no("plot: no formats", "plot {results} --formats ''", "format"),
    no("plot: a format missing between commas", "plot {results} --formats png,,svg", "format"),
    no("plot: a format that is lossy", "plot {results} --formats jpg", "jpg"),
    no("plot: a capital axis", "plot {results} --x Iteration --out f.svg", "Iteration.*iteration"),
    no("plot: an empty metric", "plot {results} --metric '' --out f.svg", "metric"),
    no("plot: an empty split", "plot {results} --split '' --out f.svg", "split"),
    no("plot: by nothing", "plot {results} --by '' --out f.svg", "by"),
    no("plot: by the seed", "plot {results} --by seed --out f.svg", "by.*seed"),
    no("plot: one limit", "plot {results} --ymin 5 --out f.svg", "--ymin and --ymax"),
    no("plot: a limit that is no number", "plot {results} --ymin nan --ymax 1 --out f.svg", "nan"),
    no("plot: limits without a distance", "plot {results} --ymin 1 --ymax 1 --out f.svg", "1 to 1"),
    no("plot: limits apart by rounding", "plot {results} --ymin 1 --ymax 1.00000000000000002 --out f.svg", "1 to 1"),
    no("plot: a negative limit of a logarithm", "plot {results} --log-y --ymin -1 --ymax 1 --out f.svg", "-1 to 1"),
    no("plot: below a file", "plot {results} --out file/f.svg", "file", setup=lambda p: p.write("file", "x")),
    no("plot: onto a device", "plot {results} --out /dev/null/x --formats svg", "/dev"),
    no("plot: no such predictor", "plot {results} --predictor last --out f.svg", "last.*current|predictor"),
    no("compare: an empty metric", "compare {results} --metric ''", "metric"),
    no("compare: no such metric among others", "compare {results} --metric nll,err", "err.*error"),
    no("compare: by nothing", "compare {results} --by ''", "by"),
    no("compare: by two keys without a comma", "compare {results} --by 'method seed'", "method seed"),
    no("compare: a spreadsheet's ending", "compare {results} --out t.xlsx", "t.xlsx.*csv"),
    no("compare: no ending", "compare {results} --out table", "table.*csv"),
    no(
        "compare: a folder as the file",
        "compare {results} --out d.csv",
        "d.csv",
        setup=lambda p: (p.tmp / "d.csv").mkdir(),
    ),
    no("compare: no such predictor", "compare {results} --predictor mean", "mean.*posterior|predictor"),
    no("compare: no paths", "compare", "(?i)paths"),
    no("collect: a folder as the file", "collect {results} --out .", "csv"),
    no("collect: an empty name", "collect {results} --out ''", "csv"),
    no("collect: over a table of a run", "collect {results} --out {psgld}/metrics.csv", "metrics.csv"),
    no("collect: a path that does not exist", "collect {tmp}/nope", "nope"),
    no("collect: an unknown flag", "collect {results} --format csv", "--format"),
    no("collect: a file that is no run's", "collect {psgld}/config.yaml", "config.yaml"),
    no("ls: no such list", "ls method", "method.*methods"),
    no("ls: two lists", "ls runs models", "models"),
    no("ls: an empty list", "ls ''", "no|empty|Allowed"),
    no("ls: a capital list", "ls Runs", "Runs.*runs"),
    no("ls: runs of a folder that is not there", "ls runs --results {tmp}/nope", "nope"),
    no("ls: runs of nobody", "ls runs --results ~nobody_here/x", "nobody_here"),
    no("data: an unknown verb", "data check digits", "check"),
    no("data: an empty name", "data verify ''", "data|name"),
    no("data: a capital name", "data verify Digits", "Digits.*digits"),
    no("data: a name with an ending", "data verify mnist.py", "mnist"),
    no("data: an absolute name", "data fetch /etc/passwd", "/etc/passwd"),
    no("data: a name of another room", "data verify loading", "loading"),
    no("data: a private file", "data verify _noise_images", "_noise_images"),
    no("data: two names", "data verify digits mnist", "mnist"),
    no("data: a root that is a file", "data verify mnist --root file", "mnist", setup=lambda p: p.write("file", "x")),
    no("data: a root that does not exist", "data verify a9a --root {tmp}/no", "a9a"),
    no("data: nowhere to fetch to", "data fetch a9a --root /dev/null/x", "/dev/null|a9a"),
    yes("data: nothing to fetch", "data fetch digits --root {tmp}/no", "digits"),
    yes("data: an empty root", "data verify digits --root ''", "digits"),
    no("sparsity: no thresholds", "sparsity {sparse} --thresholds ''", "thresholds"),
    no("sparsity: thresholds in words", "sparsity {sparse} --thresholds low,high", "low,high"),
    no("sparsity: half a range", "sparsity {sparse} --thresholds 1:2", "1:2"),
    no("sparsity: a range without steps", "sparsity {sparse} --thresholds 0:2:0", "0:2:0"),
    no("sparsity: a range backwards", "sparsity {sparse} --thresholds 5:1:1", "5:1:1"),
    no("sparsity: a million thresholds", "sparsity {sparse} --thresholds 0:1000:0.001", "0:1000:0.001|thresholds"),
    no("sparsity: a threshold that is no number", "sparsity {sparse} --thresholds nan", "nan"),
    no("sparsity: an endless range", "sparsity {sparse} --thresholds 0:inf:1", "inf"),
    no("sparsity: a chain below 0", "sparsity {sparse} --chain -1", "chain.*-1"),
    no("sparsity: a chain too many", "sparsity {sparse} --chain 1", "chain.*1"),
    no("sparsity: a format that is none", "sparsity {sparse} --formats bmp", "bmp"),
    no("sparsity: a device that is none", "sparsity {sparse} --device tpu", "tpu"),
    no("sparsity: of a network without it", "sparsity {psgld}", "sparsity|α|alpha"),
    no("sparsity: of a folder without a run", "sparsity {tmp}", "run"),
    no("sparsity: into a file", "sparsity {sparse} --out file", "file", setup=lambda p: p.write("file", "x")),
    no("export: a threshold that is no number", "export {sparse} --sparse --threshold nan", "nan"),
    no("export: a threshold alone", "export {sparse} --threshold 1", "--sparse"),
    no("export: a threshold in words", "export {sparse} --sparse --threshold high", "threshold"),
    no("export: a chain too many", "export {sgld} --chain 2", "chain.*2"),
    no("export: a chain without end", "export {sgld} --chain 99999999999999999999", "chain"),
    no("export: half a chain", "export {sgld} --chain 0.5", "chain"),
    no("export: a device that is none", "export {psgld} --device cuda:x", "cuda:x"),
    yes("export: a file of a run", "export {psgld}/checkpoint.pt", "network"),
    no("export: a folder of runs", "export {results}", "results"),
    no("export: below a device", "export {psgld} --out /dev/null/x", "/dev/null"),
    no("tune: no such metric", "tune TINY method=sgd dataset.valid=0.2 --metric acc", "acc"),
    no("tune: a metric without a direction", "tune TINY method=sgd dataset.valid=0.2 --metric entropy", "entropy"),
    no("tune: a negative seed", "tune TINY method=sgd dataset.valid=0.2 --seed=-1", "seed -1"),
    no("tune: no jobs", "tune TINY method=sgd dataset.valid=0.2 -j 0", "jobs 0"),
    no("tune: a key that is removed", "tune TINY method=sgd dataset.valid=0.2 ~seed", "~seed"),
    no("tune: a key given twice", "tune TINY method=sgd dataset.valid=0.2 seed=1 seed=2", "seed=1 seed=2"),
    no("tune: data to choose from", "tune TINY method=sgd dataset=digits,mnist", "dataset"),
    no(
        "tune: a choice of nothing",
        "tune TINY method=sgd dataset.valid=0.2 'batch_size=choice()'",
        "batch_size=choice|choice",
    ),
    no("tune: an interval of words", "tune TINY method=sgd dataset.valid=0.2 'batch_size=interval(a,b)'", "batch_size"),
    no("tune: an unknown tag", "tune TINY method=sgd dataset.valid=0.2 'batch_size=tag(sqrt,interval(1,2))'", "sqrt"),
    no("tune: an experiment to choose", "tune method=sgd experiment=psgld_a9a,bbb_mnist", "experiment"),
    no("tune: no method of that name", "tune TINY method=sgd,sgdl dataset.valid=0.2", "sgdl.*sgd"),
    no("app: no such verb", "runs", "runs"),
    no("app: a flag that is none", "--verbos", "--verbos"),
    no("app: an empty verb", ("",), "''|command|COMMAND"),
]
CASES = YAML + NUMBERS + LABELS + FLAGS
