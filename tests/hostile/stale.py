"""B6: the same command after data or code have changed, and what manifests say about their sources."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case, no, yes
from hostile.place import Place, change_manifest

DATA = """
from pathlib import Path
import numpy as np
from mine import helper
TASK, CLASSES = "classification", 2
def load(root, part):
    x = np.loadtxt(Path(__file__).with_name("rows.csv"), delimiter=",")
    x = np.tile(x, (10, 1)) * helper.SCALE
    return x, np.arange(len(x)) % 2
"""
MODEL = """
from math import prod
from torch import nn
def build(in_shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), 4), nn.Tanh(), nn.Linear(4, outputs))
"""
SCHEDULE = "def factor(iteration, *, iterations, steps_per_epoch):\n    return 1.0\n"
LAYER = "from bnnbench.layers.mean_field import MeanField\nclass Mine(MeanField):\n    pass\n"
WORDS = ["run", "iterations=4", "eval.every=2", "threads=1", "batch_size=5", "method=sgd", "dataset.divide=1"]
OWN_DATA = [*WORDS, "model.widths=[4]", "dataset.name=mine.data"]
OWN_MODEL = [*WORDS, "model.name=mine.net", "~model.widths", "~model.activation"]
OWN_SCHEDULE = [*WORDS, "model.widths=[4]", "schedule.name=mine.steps"]
CONFIG_DIR = [*WORDS[:-2], "dataset.divide=1", "model.widths=[4]", "--config-dir", "my", "method=own"]
METHOD = "name: own\nlabel: Own\noptimizer: {name: sgd, lr: 0.1}\npredictive: {name: point}\n"


def write_all(place: Place) -> None:
    place.package(data=DATA, helper="SCALE = 1.0\n", net=MODEL, steps=SCHEDULE, layer=LAYER)
    place.write("mine/rows.csv", "1,2\n3,4\n5,7\n")
    place.write("my/method/own.yaml", METHOD)


def run_folder(place: Place) -> Path:
    return next(path.parent for path in place.results.glob("adhoc/*/manifest.json"))


def then(words: list[str], change: Callable[[Place], Any]) -> Callable[[Place], None]:
    """Return a setup: the run is made, then `change` happens, as in another process later."""

    def setup(place: Place) -> None:
        import sys

        write_all(place)
        child = os.fork()
        if child == 0:
            try:
                place.bnnbench(*words)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        sys.path_importer_cache.clear()
        change(place)

    return setup


def rewrite(name: str, old: str, new: str) -> Callable[[Place], None]:
    """Return a change of a file that keeps its time and, if the words are as long, its size."""

    def change(place: Place) -> None:
        path = place.tmp / name
        at = path.stat()
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns + 10**9))

    return change


def touch(name: str) -> Callable[[Place], None]:
    return lambda place: os.utime(place.tmp / name, (time.time() + 60, time.time() + 60))


def again(place: Place, out: str, err: str) -> None:
    assert len(list(place.results.glob("adhoc/*/metrics.csv"))) == 2, (
        "the run was not made again in a folder of its own"
    )


def once(place: Place, out: str, err: str) -> None:
    assert len(list(place.results.glob("adhoc/*/metrics.csv"))) == 1, "the run was made again"


def sources(*entries: Any) -> Callable[[Place], None]:
    """Return a change: the manifest of the run holds these sources."""
    return lambda place: change_manifest(run_folder(place), sources=entries[0] if len(entries) == 1 else list(entries))


def anew(name: str, words: list[str], change: Callable[[Place], Any]) -> Case:
    return yes(name, tuple(words), "changed|differ|no longer|other|not what", setup=then(words, change), check=again)


def still(name: str, words: list[str], change: Callable[[Place], Any]) -> Case:
    return yes(name, tuple(words), "finished already", setup=then(words, change), check=once)


def after(name: str, verb: str, says: str, words: list[str], change: Callable[[Place], Any], **more: Any) -> Case:
    """Return a case: another verb once the run was made and something changed."""
    return yes(name, verb, says, setup=then(words, change), **more)


ROWS, CODE, NET = "mine/rows.csv", "mine/data.py", "mine/net.py"
ENTRY = {"file": "/nowhere/x.csv", "sha256": "0" * 64, "bytes": 5, "mtime_ns": 1}
CASES: list[Case] = [
    anew("a number in the data", OWN_DATA, rewrite(ROWS, "5,7", "5,8")),
    anew("a row more", OWN_DATA, rewrite(ROWS, "5,7\n", "5,7\n6,6\n")),
    anew("the order of the rows", OWN_DATA, rewrite(ROWS, "1,2\n3,4", "3,4\n1,2")),
    anew("the loader's code", OWN_DATA, rewrite(CODE, "% 2", "// 2 % 2")),
    anew("a module that the loader imports", OWN_DATA, rewrite("mine/helper.py", "1.0", "2.0")),
    anew("the network's code", OWN_MODEL, rewrite(NET, "Tanh", "ReLU")),
    anew("the schedule's code", OWN_SCHEDULE, rewrite("mine/steps.py", "1.0", "0.5")),
    still("the time of a file alone", OWN_DATA, touch(ROWS)),
    still("the time of the code alone", OWN_MODEL, touch(NET)),
    still("a file that is gone", OWN_DATA, lambda place: (place.tmp / ROWS).unlink()),
    no(
        "a helper that is gone",
        tuple(OWN_DATA),
        "helper",
        setup=then(OWN_DATA, lambda place: (place.tmp / "mine/helper.py").unlink()),
        check=once,
    ),
    still("a file beside the code", OWN_MODEL, lambda place: place.write("mine/notes.txt", "x")),
    still("a module that nobody imports", OWN_MODEL, lambda place: place.write("mine/other.py", "x = 1\n")),
    still("the label of a method of one's own", CONFIG_DIR, rewrite("my/method/own.yaml", "label: Own", "label: Our")),
    still(
        "a comment in a method of one's own", CONFIG_DIR, rewrite("my/method/own.yaml", "name: own", "# x\nname: own")
    ),
    yes(
        "the step size of a method of one's own",
        tuple(CONFIG_DIR),
        "Own",
        check=again,
        setup=then(CONFIG_DIR, rewrite("my/method/own.yaml", "0.1", "0.2")),
    ),
    yes("--force after a change", (*OWN_DATA, "--force"), setup=then(OWN_DATA, rewrite(ROWS, "5,7", "5,8"))),
    still("sources that are a number", OWN_DATA, sources(5)),
    still("sources that are numbers", OWN_DATA, sources([1, 2, None])),
    still("sources that are a mapping", OWN_DATA, sources({"file": "x"})),
    still("a source without a digest", OWN_DATA, sources([{"file": "/etc/hostname"}])),
    still("a source that is a list", OWN_DATA, sources([{"file": ["x"], "sha256": "0"}])),
    still("a source with a NUL", OWN_DATA, sources([{**ENTRY, "file": "a\0b"}])),
    still("a source of an unknown user", OWN_DATA, sources([{**ENTRY, "root": "~nobody_here", "file": "x"}])),
    still("a source that is a device", OWN_DATA, sources([{**ENTRY, "file": "/dev/zero"}])),
    still("a source with a long name", OWN_DATA, sources([{**ENTRY, "file": "x" * 5000}])),
    still("a module with a surrogate", OWN_DATA, sources([{**ENTRY, "module": "\ud800", "file": "x"}])),
    still("a module with a NUL", OWN_DATA, sources([{**ENTRY, "module": "a\0b", "file": "x"}])),
    anew("a source of another digest", OWN_DATA, sources([{**ENTRY, "file": "/etc/hostname"}])),
    after(
        "ls shows both",
        "ls runs",
        "-2 ",
        OWN_DATA,
        lambda place: (rewrite(ROWS, "5,7", "5,8")(place), _again(place, OWN_DATA)),
    ),
    after(
        "compare keeps both apart",
        "compare {results}/adhoc --out t.csv",
        "source|code|data",
        OWN_DATA,
        lambda place: (rewrite(ROWS, "5,7", "5,8")(place), _again(place, OWN_DATA)),
    ),
    after(
        "plot keeps both apart",
        "plot {results}/adhoc --out f.svg",
        "f.svg",
        OWN_DATA,
        lambda place: (rewrite(ROWS, "5,7", "5,8")(place), _again(place, OWN_DATA)),
    ),
    after(
        "collect tells both apart",
        "collect {results}/adhoc",
        "dataset.files",
        OWN_DATA,
        lambda place: (rewrite(ROWS, "5,7", "5,8")(place), _again(place, OWN_DATA)),
    ),
    after("compare reads sources that are numbers", "compare {results}/adhoc", "", OWN_DATA, sources([1, 2])),
    after("plot reads sources that are words", "plot {results}/adhoc --out f.svg", "", OWN_DATA, sources("abc")),
    after(
        "collect reads sources with other digests",
        "collect {results}/adhoc",
        "",
        OWN_DATA,
        sources([{**ENTRY, "sha256": 5}, {**ENTRY, "module": 3}]),
    ),
    after(
        "export of a network whose code has changed",
        "export {adhoc} --allow-code mine",
        "changed|differ|no longer|not what",
        OWN_MODEL,
        rewrite(NET, "Tanh", "ReLU"),
    ),
    no(
        "export of a network whose code is gone",
        "export {adhoc} --allow-code mine",
        "mine",
        setup=then(OWN_MODEL, lambda place: (place.tmp / NET).unlink()),
    ),
    no(
        "export of a network whose code has other shapes",
        "export {adhoc} --allow-code mine",
        "network|shape|model",
        setup=then(OWN_MODEL, rewrite(NET, "4", "6")),
    ),
    no(
        "export after the data are gone",
        "export {adhoc} --allow-code mine",
        "rows.csv",
        setup=then(OWN_DATA, lambda place: (place.tmp / ROWS).unlink()),
    ),
    after(
        "export of a run whose data have changed",
        "export {adhoc} --allow-code mine",
        "changed|differ|no longer|not what",
        OWN_DATA,
        rewrite(ROWS, "5,7", "5,8"),
    ),
    after(
        "a start from a run that was made anew",
        "run iterations=2 eval.every=1 threads=1 batch_size=5 method=sgd "
        "dataset.divide=1 model.name=mine.net ~model.widths ~model.activation method.init_from={adhoc}",
        "changed|differ|no longer|other|not what",
        OWN_MODEL,
        lambda place: _start_and_change(place),
    ),
]


def _again(place: Place, words: list[str]) -> None:
    child = os.fork()
    if child == 0:
        try:
            place.bnnbench(*words)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def _start_and_change(place: Place) -> None:
    """Start a run from the first, then train that anew for longer."""
    first = run_folder(place)
    words = [word for word in OWN_MODEL if not word.startswith(("iterations", "eval"))]
    _again(place, [*words, "iterations=2", "eval.every=1", f"method.init_from={first}"])
    import torch

    state = torch.load(first / "checkpoint.pt", weights_only=True)
    for tensors in _tensors(state["chains"]):
        tensors.mul_(3)
    torch.save(state, first / "checkpoint.pt")


def _tensors(node: Any) -> list[Any]:
    import torch

    if isinstance(node, torch.Tensor):
        return [node] if node.is_floating_point() else []
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else []
    return [tensor for child in children for tensor in _tensors(child)]
