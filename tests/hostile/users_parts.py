"""B9: the user's own parts and machine: arrays of every kind, optimisers, layers, schedules, the process around us."""

from __future__ import annotations

import shutil

from hostile.case import Case, no, yes
from hostile.place import Place, both, package
from hostile.sanity import HEAD, REGRESSION, data, net, numbers

OWN = HEAD + "model.widths=[4] method=sgd dataset.name=mine.data"
TINY = "run TINY "
RULE = TINY + "method=sgd ~method.optimizer.momentum method.optimizer.name=mine.rule.Rule method.optimizer.lr=0.1"
RULE += " prior.name=flat"
LAYERS = TINY + "method=mean_field method.layers={name:mine.layer.Mine}"
FACTOR = TINY + "method=sgd schedule={name:mine.steps}"
METRIC = TINY + "method=sgd eval.metrics=[mine.metric.Mine]"


def rule(
    body: str, init: str = "super().__init__(params, {'lr': lr})", of: str = "torch.optim.Optimizer"
) -> dict[str, object]:
    """Return a setup: the user's update rule."""
    source = (
        f"import torch\nclass Rule({of}):\n    def __init__(self, params, lr: float):\n        {init}\n"
        f"    def step(self, closure=None):\n        {body}\n"
    )
    return {"setup": package(rule=source)}


def layer(body: str, of: str = "MeanField") -> dict[str, object]:
    """Return a setup: the user's layer."""
    source = (
        "import torch\nfrom torch import nn\nfrom bnnbench.layers.mean_field import MeanField\n"
        f"class Mine({of}):\n    {body}\n"
    )
    return {"setup": package(layer=source)}


def factor(body: str) -> dict[str, object]:
    """Return a setup: the user's schedule."""
    return {
        "setup": package(steps=f"import torch\ndef factor(iteration, *, iterations, steps_per_epoch):\n    {body}\n")
    }


def gone(place: Place) -> None:
    """Delete the working directory."""
    import os

    os.mkdir(place.tmp / "gone")
    os.chdir(place.tmp / "gone")
    shutil.rmtree(place.tmp / "gone")


def fresh(name: str, line: str, says: str = "", **env: str | None) -> Case:
    return yes(name, line, says, env=env, fresh=True)


X = "r.normal(size=(40, 3))"
ARRAYS: list[Case] = [
    yes("x: half precision", OWN, "", **data(x=f"{X}.astype('f2')"), check=numbers),
    yes("x: brain floats", OWN, "", **data(x=f"torch.tensor({X}).bfloat16()"), check=numbers),
    yes("x: long doubles", OWN, "", **data(x=f"{X}.astype(np.longdouble)"), check=numbers),
    yes("x: bytes in another order", OWN, "", **data(x=f"{X}.astype('>f8')"), check=numbers),
    yes("x: columns first", OWN, "", **data(x=f"np.asfortranarray({X})"), check=numbers),
    yes("x: backwards", OWN, "", **data(x=f"{X}[::-1, ::-1]"), check=numbers),
    yes("x: read only", OWN, "", **data(x=f"np.broadcast_to({X}[:1], (40, 3))"), check=numbers),
    yes("x: a parameter", OWN, "", **data(x=f"torch.nn.Parameter(torch.tensor({X}))"), check=numbers),
    yes("x: nested lists", OWN, "", **data(x=f"{X}.tolist()"), check=numbers),
    yes("x: a list of tensors", OWN, "", **data(x=f"list(torch.tensor({X}))"), check=numbers),
    yes("x: a list of arrays", OWN, "", **data(x=f"list({X})"), check=numbers),
    yes("x: objects that are numbers", OWN, "", **data(x=f"{X}.astype(object)"), check=numbers),
    yes("x: truths", OWN, "", **data(x=f"{X} > 0"), check=numbers),
    yes("x: a matrix of numpy", OWN, "", **data(x=f"np.matrix({X})"), check=numbers),
    yes(
        "x: a frame with gaps in its index",
        OWN,
        "",
        **data(x=f"__import__('pandas').DataFrame({X}, index=range(100, 140))"),
        check=numbers,
    ),
    yes(
        "x: a frame of whole and real numbers",
        OWN,
        "",
        **data(x=f"__import__('pandas').DataFrame({X}).astype({{0: int}})"),
        check=numbers,
    ),
    yes(
        "y: categories",
        OWN,
        "",
        **data(y="__import__('pandas').Series(np.arange(40) % 2, dtype='category')"),
        check=numbers,
    ),
    yes("y: unsigned 64 bits", OWN, "", **data(y="(np.arange(40) % 2).astype('u8')"), check=numbers),
    no("x: ragged lists", OWN, "mine.data.*x", **data(x="[[1.0] * (1 + i % 2) for i in range(40)]")),
    no("x: dates", OWN, "mine.data.*x", **data(x="np.arange(120).astype('M8[D]').reshape(40, 3)")),
    no("x: spans of time", OWN, "mine.data.*x", **data(x="np.arange(120).astype('m8[s]').reshape(40, 3)")),
    no("x: records", OWN, "mine.data.*x", **data(x="np.zeros((40, 3), dtype=[('a', 'f8')])")),
    no("x: bytes", OWN, "mine.data.*x", **data(x="np.full((40, 3), b'1')")),
    no("x: words of digits", OWN, "mine.data.*x", **data(x="np.full((40, 3), '1')")),
    no("x: a generator", OWN, "mine.data.*x", **data(x="(row for row in r.normal(size=(40, 3)))")),
    no("x: a mapping", OWN, "mine.data.*x", **data(x="{'a': [1]}")),
    no("x: a set", OWN, "mine.data.*x", **data(x="{1.0, 2.0}")),
    no("x: a number", OWN, "mine.data", **data(x="1.0")),
    no("x: nothing among numbers", OWN, "mine.data.*x", **data(x="[[None, 1.0, 2.0]] * 40")),
    no("x: a tensor without values", OWN, "mine.data", **data(x="torch.empty(40, 3, device='meta')")),
    no(
        "x: a quantised tensor",
        OWN,
        "mine.data|quantized|quantised",
        **data(x="torch.quantize_per_tensor(torch.zeros(40, 3), 0.1, 0, torch.quint8)"),
    ),
    no("x: nested tensors", OWN, "mine.data", **data(x="torch.nested.nested_tensor([torch.zeros(3)] * 40)")),
    no(
        "y: a missing category",
        OWN,
        "mine.data",
        **data(y="__import__('pandas').Series([0, None] * 20, dtype='Int64')"),
    ),
    no("y: words", OWN, "mine.data.*y", **data(y="np.array(['cat', 'dog'] * 20)")),
    no("y: complex targets", OWN, "mine.data.*complex", **data(y="np.arange(40) * 1j", **REGRESSION)),
]
RULES: list[Case] = [
    no(
        "rule: needs a closure",
        TINY + "method=sgd ~method.optimizer.momentum method.optimizer.name=torch.optim.LBFGS method.optimizer.lr=0.1",
        "LBFGS",
    ),
    no(
        "rule: for sparse gradients",
        TINY
        + "method=sgd ~method.optimizer.momentum method.optimizer.name=torch.optim.SparseAdam method.optimizer.lr=0.1",
        "SparseAdam|sparse",
    ),
    yes(
        "rule: of torch",
        TINY + "method=sgd ~method.optimizer.momentum method.optimizer.name=torch.optim.Rprop method.optimizer.lr=0.01 "
        "prior.name=flat",
        check=numbers,
    ),
    no(
        "rule: torch's base class",
        TINY
        + "method=sgd ~method.optimizer.momentum method.optimizer.name=torch.optim.Optimizer method.optimizer.lr=0.1",
        "optimizer",
    ),
    no(
        "rule: a function",
        TINY + "method=sgd ~method.optimizer.momentum method.optimizer.name=torch.nn.functional.relu",
        "relu",
    ),
    no(
        "rule: a module",
        TINY + "method=sgd ~method.optimizer.momentum method.optimizer.name=torch.optim method.optimizer.lr=0.1",
        "torch.optim",
    ),
    no("rule: without a step size", TINY + "method=sgd ~method.optimizer.lr", "lr"),
    no("rule: raises in a step", RULE, "rule.py.*step|boom", **rule("raise KeyError('boom')")),
    no("rule: raises when made", RULE, "rule.py|boom", **rule("pass", init="raise KeyError('boom')")),
    no("rule: forgets its base", RULE, "rule.py|mine.rule", **rule("pass", init="self.lr = lr")),
    no(
        "rule: leaves no numbers",
        RULE,
        "finite|diverged",
        **rule("[p.data.fill_(float('nan')) for g in self.param_groups for p in g['params']]"),
    ),
    no(
        "rule: leaves other shapes",
        RULE,
        "mine.rule|rule.py|shape",
        **rule("[setattr(p, 'data', p.data[:1]) for g in self.param_groups for p in g['params']]"),
    ),
    no("rule: exits", RULE, "rule.py|SystemExit", **rule("raise SystemExit(0)")),
    no(
        "rule: steps without a step size",
        TINY + "method=sgd ~method.optimizer.momentum method.optimizer.name=mine.rule.Rule method.optimizer.lr=0.1",
        "lr",
        setup=package(
            rule="import torch\nclass Rule(torch.optim.SGD):\n    def __init__(self, params):\n"
            "        super().__init__(params, 0.1)\n"
        ),
    ),
]
PARTS: list[Case] = [
    no("layer: no layer of ours", LAYERS, "mine.layer.Mine", **layer("pass", of="nn.Linear")),
    no(
        "layer: raises in forward",
        LAYERS,
        "layer.py|boom",
        **layer("def forward(self, x):\n        raise OSError('boom')"),
    ),
    no(
        "layer: a KL of no number",
        LAYERS,
        "finite|KL|kl",
        **layer("def kl(self):\n        return torch.tensor(float('nan'))"),
    ),
    no("layer: a KL in words", LAYERS, "layer|kl", **layer("def kl(self):\n        return 'much'")),
    no("layer: a KL of nothing", LAYERS, "layer|kl", **layer("def kl(self):\n        return None")),
    no("layer: a KL per weight", LAYERS, "layer|kl|shape", **layer("def kl(self):\n        return torch.ones(3)")),
    no("layer: other options", LAYERS.replace("Mine}", "Mine,depth:3}"), "depth", **layer("pass")),
    no("factor: a list", FACTOR, "factor.*\\[1", **factor("return [1.0]")),
    no("factor: a complex number", FACTOR, "factor", **factor("return 1j")),
    no("factor: no number", FACTOR, "factor.*nan", **factor("return float('nan')")),
    no("factor: beyond numbers", FACTOR, "factor", **factor("return 10 ** 400")),
    no("factor: a tensor of two", FACTOR, "factor", **factor("return torch.ones(2)")),
    no(
        "factor: divides by zero",
        FACTOR,
        "steps.py.*factor|ZeroDivision",
        **factor("return 1 / iteration if iteration else 1 / 0"),
    ),
    no("factor: exits", FACTOR, "steps.py|SystemExit", **factor("raise SystemExit(0)")),
    no(
        "factor: loops on itself",
        FACTOR,
        "steps.py|Recursion",
        **factor("return factor(iteration, iterations=1, steps_per_epoch=1)"),
    ),
    no("factor: a truth", FACTOR, "factor.*True", **factor("return True")),
    no("metric: no metric", METRIC, "mine.metric.Mine", setup=package(metric="class Mine:\n    pass\n")),
    no("metric: raises at import", METRIC, "metric.py|boom", setup=package(metric="raise OSError('boom')\n")),
    no("metric: is not there", METRIC, "Mine", setup=package(metric="x = 1\n")),
    no(
        "network: interrupts",
        TINY.replace("TINY", "iterations=4 threads=1")
        + "method=sgd model.name=mine.net ~model.widths ~model.activation",
        "interrupted|KeyboardInterrupt",
        **net("raise KeyboardInterrupt"),
    ),
]
PROCESS: list[Case] = [
    fresh("warnings are errors", TINY + "method=sgld", "finished|error", PYTHONWARNINGS="error"),
    fresh("ls where warnings are errors", "ls runs", "psgld", PYTHONWARNINGS="error"),
    fresh("plot where warnings are errors", "plot {results} --out f.svg", "f.svg", PYTHONWARNINGS="error"),
    fresh("compare where warnings are errors", "compare {results}", "sgld", PYTHONWARNINGS="error"),
    fresh("ls without docstrings", "ls metrics", "ace", PYTHONOPTIMIZE="2"),
    fresh("models without docstrings", "ls models", "mlp", PYTHONOPTIMIZE="2"),
    fresh("help without docstrings", "plot --help", "--ymax", PYTHONOPTIMIZE="2"),
    fresh("a run without docstrings", TINY + "method=psgld", "", PYTHONOPTIMIZE="2"),
    fresh("figures for a screen that does not exist", "plot {results} --out f.svg", "f.svg", MPLBACKEND="nonsense"),
    fresh("a curve for a screen that does not exist", "sparsity {sparse} --formats svg", "svg", MPLBACKEND="Qt9Agg"),
    fresh("matplotlib without a folder", "plot {results} --out f.svg", "f.svg", MPLCONFIGDIR="/dev/null/x"),
    fresh(
        "matplotlib with settings that are none",
        "plot {results} --out f.svg",
        "f.svg",
        MATPLOTLIBRC="{psgld}/metrics.csv",
    ),
    fresh("no home", "data verify digits", "digits", HOME=None),
    fresh("a home that is a file", TINY + "method=sgd", "", HOME="/dev/null"),
    fresh("no place for temporary files", "plot {results} --out f.svg", "f.svg", TMPDIR="/nonexistent"),
    fresh("a cache that is a file", "data verify digits", "digits", XDG_CACHE_HOME="/dev/null", BNNBENCH_DATA=""),
    fresh("a terminal of no columns", "ls runs", "psgld", COLUMNS="0"),
    fresh("a terminal of one column", "compare {results}", "", COLUMNS="1"),
    fresh("a terminal of negative width", "compare {results}", "sgld", COLUMNS="-5"),
    fresh("a terminal of many columns", "ls methods", "psgld", COLUMNS="100000000000"),
    fresh("a terminal as wide as words", "compare {results}", "sgld", COLUMNS="wide", TERM="dumb"),
    fresh("colours where none are", "compare {results}", "sgld", FORCE_COLOR="1", TERM="nonsense"),
    fresh(
        "no threads for OpenMP",
        TINY.replace("TINY", "model.widths=[4] iterations=4") + "method=sgd",
        "",
        OMP_NUM_THREADS="0",
    ),
    fresh(
        "threads of OpenMP in a list",
        TINY.replace("TINY", "model.widths=[4] iterations=4") + "method=sgd",
        "",
        OMP_NUM_THREADS="2,1",
    ),
    fresh(
        "threads of OpenMP in words",
        TINY.replace("TINY", "model.widths=[4] iterations=4") + "method=sgd",
        "",
        OMP_NUM_THREADS="all",
    ),
    fresh(
        "too many threads of OpenMP",
        TINY.replace("TINY", "model.widths=[4] iterations=4") + "method=sgd",
        "",
        OMP_NUM_THREADS="99999999999",
    ),
    fresh(
        "a superscript of threads",
        TINY.replace("TINY", "model.widths=[4] iterations=4") + "method=sgd",
        "",
        OMP_NUM_THREADS="²",
    ),
    no("export: from a folder that is gone", "export {psgld} --out {tmp}/out", "directory", setup=gone),
    yes("compare: in a folder that is gone", "compare {results}", "sgld", setup=gone),
    no("run: in a folder that is gone", TINY + "method=sgd", "results|directory|folder", setup=gone),
    no("ls: in a folder that is gone", "ls runs --results here", "here", setup=gone),
    no(
        "tune: in a folder that is gone",
        "tune TINY method=sgd dataset.valid=0.2 --trials 2",
        "results|directory|folder",
        setup=gone,
    ),
    no("data: a folder of data that is a device", "data verify a9a", "a9a", env={"BNNBENCH_DATA": "/dev/null"}),
    no("data: folders of data with a colon", "data verify mnist", "mnist", env={"BNNBENCH_DATA": "/a:/b"}),
    no(
        "tune: a rule that is not there",
        "tune TINY method=sgd dataset.valid=0.2 --trials 2 method.optimizer.name=mine.rule.Rule",
        "mine.rule",
        setup=both(),
    ),
]
CASES = ARRAYS + RULES + PARTS + PROCESS
