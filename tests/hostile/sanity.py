"""B7: the contract between data, network and head; results that look like results and are none."""

from __future__ import annotations

import math

from hostile.case import Case, no, yes
from hostile.place import Place, newest_run, package, rows_of

HEAD = "run iterations=4 eval.every=2 threads=1 batch_size=10 dataset.divide=1 "
OWN = HEAD + "model.widths=[4] method=sgd dataset.name=mine.data"
NET = HEAD.replace("dataset.divide=1 ", "") + "method=sgd model.name=mine.net ~model.widths ~model.activation"
TUNE = "tune iterations=4 eval.every=2 threads=1 batch_size=10 method=sgd dataset.valid=0.2 --trials 2 "


def data(
    x: str = "r.normal(size=(40, 3))",
    y: str = "np.arange(40) % 2",
    task: str = "'classification'",
    classes: str = "2",
    more: str = "",
) -> dict[str, object]:
    """Return a setup: the user's dataset with these rows and labels."""
    source = (
        f"import numpy as np, torch\nTASK = {task}\nCLASSES = {classes}\nr = np.random.default_rng(0)\n"
        f"def load(root, part):\n    x, y = {x}, {y}\n    {more or 'pass'}\n    return x, y\n"
    )
    return {"setup": package(data=source)}


def net(body: str, more: str = "") -> dict[str, object]:
    """Return a setup: the user's network with this ``build``."""
    source = f"import torch\nfrom torch import nn\n{more}\ndef build(in_shape, outputs):\n    {body}\n"
    return {"setup": package(net=source)}


def module(forward: str) -> dict[str, object]:
    """Return a setup: a network of one layer whose ``forward`` ends with `forward` of the logits z."""
    more = (
        "class Net(nn.Module):\n    def __init__(self, outputs):\n        super().__init__()\n"
        "        self.f = nn.Linear(64, outputs)\n    def forward(self, x):\n"
        f"        z = self.f(x.flatten(1))\n        {forward}\n"
    )
    return net("return Net(outputs)", more)


def numbers(place: Place, out: str, err: str) -> None:
    for row in rows_of(newest_run(place)):
        values = [float(row[key]) for key in ("error", "nll", "rmse") if row.get(key)]
        assert values and all(map(math.isfinite, values)), row


REGRESSION = {"task": "'regression'", "classes": "None"}
CASES: list[Case] = [
    no("a label as large as the number of classes", OWN, "mine.data.*2", **data(y="np.arange(40) % 3")),
    no("a negative label", OWN, "mine.data.*-1", **data(y="np.arange(40) % 2 - 1")),
    no("a label of one half", OWN, "mine.data", **data(y="np.arange(40) % 2 / 2")),
    yes("labels that are truths", OWN, "", **data(y="np.arange(40) % 2 == 1"), check=numbers),
    no(
        "labels as real numbers",
        OWN,
        "integer labels",
        **data(y="(np.arange(40) % 2).astype(float)"),
    ),
    yes("classes that do not occur", OWN, "", **data(classes="7"), check=numbers),
    yes(
        "one class in training",
        OWN,
        "",
        **data(y="np.zeros(40, int) if part == 'train' else np.arange(40) % 2"),
        check=numbers,
    ),
    no("one class", OWN, "CLASSES", **data(y="np.zeros(40, int)", classes="1")),
    no("no class", OWN, "CLASSES", **data(classes="0")),
    no("fewer classes than none", OWN, "CLASSES", **data(classes="-2")),
    no("classes in words", OWN, "CLASSES", **data(classes="'two'")),
    no("classes as a real number", OWN, "CLASSES", **data(classes="2.5")),
    no("classes unsaid", OWN, "CLASSES", **data(classes="None")),
    no("classes as a truth", OWN, "CLASSES", **data(classes="True")),
    no("a task misspelt", OWN, "clasification.*classification", **data(task="'clasification'")),
    no("a task that is a number", OWN, "TASK", **data(task="3")),
    no("tests of another width", OWN, "mine.data.*test", **data(x="r.normal(size=(40, 3 if part == 'train' else 4))")),
    no(
        "tests without rows",
        OWN,
        "mine.data.*test",
        **data(
            x="r.normal(size=(40, 3))[: 0 if part == 'test' else 40]", y="np.arange(0 if part == 'test' else 40) % 2"
        ),
    ),
    no(
        "infinite inputs in the test",
        OWN,
        "mine.data.*test.*finite",
        **data(more="x[3, 1] = np.inf if part == 'test' else 0"),
    ),
    no("a target that is no number", OWN, "mine.data.*finite", **data(y="np.full(40, np.nan)", **REGRESSION)),
    no("inputs without features", OWN, "mine.data|feature|input", **data(x="np.zeros((40, 0))")),
    no("labels in a column", OWN, "mine.data.*40, 1", **data(y="(np.arange(40) % 2)[:, None]")),
    no("labels as indicators", OWN, "mine.data.*40, 2", **data(y="np.eye(2)[np.arange(40) % 2]")),
    no("inputs in one dimension", OWN, "mine.data.*40", **data(x="r.normal(size=40)")),
    no("more labels than rows", OWN, "mine.data.*41", **data(y="np.arange(41) % 2")),
    yes(
        "a target that never changes",
        OWN + " +dataset.standardise_target=true",
        "",
        **data(y="np.full(40, 3.0)", **REGRESSION),
        check=numbers,
    ),
    yes(
        "a feature that never changes",
        OWN + " dataset.center=standardise",
        "",
        **data(more="x[:, 1] = 0.1"),
        check=numbers,
    ),
    yes(
        "targets of 1e30 as they are",
        OWN,
        "Nothing was learned",
        **data(y="1e30 * r.normal(size=40)", **REGRESSION),
    ),
    no(
        "inputs beyond single precision",
        OWN,
        "mine.data|single|finite|large",
        **data(x="1e300 * r.normal(size=(40, 3))"),
    ),
    no("classes standardised", OWN + " +dataset.standardise_target=true", "standardise_target", **data()),
    no(
        "a softmax for numbers", OWN + " task.head=softmax", "head=softmax", **data(y="r.normal(size=40)", **REGRESSION)
    ),
    no("a noise level for classes", OWN + " task.head=heteroscedastic", "head=heteroscedastic", **data()),
    no("regression of classes' labels by name", OWN + " task.name=regresion", "regresion.*regression", **data()),
    no("another set of other shape for outliers", OWN + " eval.ood=[digits]", "digits.*shape|shape", **data()),
    no(
        "outliers for a regression",
        OWN + " eval.ood=[digits]",
        "ood|digits",
        **data(y="r.normal(size=40)", **REGRESSION),
    ),
    no("outliers named twice", "run TINY method=sgd eval.ood=[kmnist,kmnist]", "kmnist.*twice"),
    no("images too small for the network", "run iterations=4 threads=1 method=sgd model=lenet5", "lenet5.*8"),
    no("a table for a network of images", OWN.replace("model.widths=[4]", "model=cnn"), "cnn.*3|image", **data()),
    no("no hidden layer to normalise", "run iterations=4 threads=1 method=batchnorm_sgld model=logistic", "normalise"),
    no(
        "a network of a thousand outputs",
        NET,
        "1000.*10|10.*1000",
        **net("return nn.Sequential(nn.Flatten(), nn.Linear(64, 1000))"),
    ),
    no("a network of one output", NET, "10", **net("return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))")),
    no("outputs without a place for classes", NET, "mine.net", **module("return z.sum(1)")),
    no("outputs in three dimensions", NET, "mine.net", **module("return z[:, :, None]")),
    no("outputs that are no numbers", NET, "finite|nan", **module("return z * float('nan')")),
    no("outputs that are the classes", NET, "mine.net", **module("return z.argmax(1)")),
    no("outputs in a dictionary", NET, "mine.net.*dict", **module("return {'logits': z}")),
    no("outputs in a list", NET, "mine.net.*list", **module("return [z]")),
    no("outputs that are words", NET, "mine.net.*str", **module("return 'seven'")),
    no("outputs of whole numbers", NET, "mine.net|int|dtype", **module("return z.long()")),
    no("outputs cut from the graph", NET, "mine.net|grad", **module("return z.detach()")),
    no("a network that is a class", NET, "mine.net.*build", **net("return nn.Linear")),
    no("a network that is nothing", NET, "mine.net.*None", **net("pass")),
    no("a network without parameters", NET, "mine.net|parameter", **net("return nn.Flatten()")),
    no("a network that asks", NET, "mine.net", **net("input('which?')")),
    no("a network that divides by zero", NET, "mine.net.*ZeroDivision|mine/net.py", **net("return 1 / 0")),
    no(
        "a network that takes no shape",
        NET,
        "build\\(in_shape, outputs",
        setup=package(net="def build(n):\n    pass\n"),
    ),
    no(
        "tune: labels out of range",
        TUNE + "model.widths=[4] dataset.divide=1 dataset.name=mine.data",
        "mine.data",
        **data(y="np.arange(40) % 3"),
    ),
    no("tune: a network of a thousand outputs", TUNE + "model.name=mine.net ~model.widths", "remove|~model"),
    no("data: a set of one's own without TASK", "data verify mine.data", "TASK", setup=package(data="x = 1\n")),
    no(
        "data: a set of one's own that raises",
        "data verify mine.data",
        "mine/data.py|boom",
        setup=package(data="raise ValueError('boom')\n"),
    ),
    no(
        "data: checks that raise",
        "data verify mine.data",
        "boom",
        setup=package(
            data="TASK = 'classification'\nCLASSES = 2\ndef load(root, part):\n    pass\n"
            "def verify(root):\n    raise ValueError('boom')\n"
        ),
    ),
    no(
        "data: checks that return nothing",
        "data verify mine.data",
        "verify",
        setup=package(
            data="TASK = 'classification'\nCLASSES = 2\ndef load(root, part):\n    pass\ndef verify(root):\n    pass\n"
        ),
    ),
    no(
        "data: a fetch that raises",
        "data fetch mine.data",
        "boom",
        setup=package(
            data="TASK = 'classification'\nCLASSES = 2\ndef load(root, part):\n    pass\n"
            "def fetch(root):\n    raise ConnectionError('boom')\n"
        ),
    ),
    no(
        "data: a load that is no function",
        "data verify mine.data",
        "load",
        setup=package(data="TASK = 'classification'\nCLASSES = 2\nload = 5\n"),
    ),
]
