"""User code that raises or returns the wrong thing, numbers too large for the machine: a line or two, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import invoke

MODULE = """
import torch
from torch import nn

def raises(in_shape, outputs):
    raise RuntimeError("boom in build")

def leaves(in_shape, outputs):
    raise SystemExit(3)

def doubled(in_shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs).double())

def no_parameters():
    return nn.Linear(1, 1)

def data(returned):
    def load(root, part):
        if isinstance(returned, Exception):
            raise returned
        return returned
    return type("Set", (), {"TASK": "classification", "CLASSES": 2, "load": staticmethod(load)})

Raises, Nothing = data(RuntimeError("boom in load")), data(None)
Three, Words = data((1, 2, 3)), data(([[1.0], [2.0]], ["a", "b"]))
Complex = data(([[1j], [2.0]], [0, 1]))

def raising(iteration, *, iterations, steps_per_epoch):
    raise RuntimeError("boom in factor")

def returning(value):
    def factor(iteration, *, iterations, steps_per_epoch):
        return value
    return factor

Late = type("Set", (), {"TASK": "classification", "CLASSES": 2, "load": staticmethod(
    lambda root, part: (torch.cat([torch.zeros(1500, 2), torch.ones(20, 2)]), torch.arange(1520) % 2))})

def late(iteration, *, iterations, steps_per_epoch):
    return -1.0 if iteration == 1 else 1.0

negative, nothing, text, endless = returning(-1.0), returning(None), returning("x"), returning(float("inf"))

def lonely(iteration):
    return 1.0

def rule(step, init=lambda self, params, lr: torch.optim.Optimizer.__init__(self, params, {"lr": lr})):
    def __init__(self, params, lr: float):
        init(self, params, lr)
    return type("Rule", (torch.optim.Optimizer,), {"__init__": __init__, "step": step})

def boom(self, closure=None):
    raise KeyError("boom in step")

def leave(self, closure=None):
    raise SystemExit(0)

def bad_start(self, params, lr):
    raise KeyError("boom in rule")

def baseless(self, params, lr):
    self.lr = lr

Stepping, Leaving, Starting, Baseless = rule(boom), rule(leave), rule(boom, bad_start), rule(boom, baseless)
"""
TINY = ("iterations=4", "eval.every=2", "members.burn_in=0", "threads=1", "batch_size=10")
RULE = ("method=sgd", "~method.optimizer.momentum", "method.optimizer.lr=0.1", "prior.name=flat")
NETWORK = ("method=sgd", "~model.widths", "~model.activation")
CODE = {
    "import": (("model.name=mine.broken.net", *NETWORK), "boom at import", "broken.py, line 1"),
    "syntax": (("model.name=mine.syntax.net", *NETWORK), "SyntaxError", "syntax.py, line 1"),
    "build": (("model.name=mine.code.raises", *NETWORK), "boom in build", "code.py, line 6, raises"),
    "exit": (("model.name=mine.code.leaves", *NETWORK), "raised SystemExit", "code.py, line 9, leaves"),
    "double": (("model.name=mine.code.doubled", *NETWORK), "fails on inputs", "Double"),
    "signature": (("model.name=mine.code.no_parameters", *NETWORK), "build(in_shape, outputs", ""),
    "load": (("dataset.name=mine.code.Raises",), "boom in load", "code.py, line 20, load"),
    "none": (("dataset.name=mine.code.Nothing",), "returned a NoneType", "it must return x and y"),
    "three": (("dataset.name=mine.code.Three",), "returned a tuple of 3", "it must return x and y"),
    "words": (("dataset.name=mine.code.Words",), "Give numbers", "'a'"),
    "complex": (("dataset.name=mine.code.Complex",), "complex numbers", ""),
    "factor": (("schedule.name=mine.code.raising",), "boom in factor", "code.py, line 29, raising"),
    "negative": (("schedule.name=mine.code.negative",), "is -1.0; it must be a number >= 0", ""),
    "nothing": (("schedule.name=mine.code.nothing",), "is None; it must be a number >= 0", ""),
    "text": (("schedule.name=mine.code.text",), "is 'x'; it must be a number >= 0", ""),
    "endless": (("schedule.name=mine.code.endless",), "is inf; it must be a number >= 0", ""),
    "step": ((*RULE, "method.optimizer.name=mine.code.Stepping"), "raised KeyError: 'boom in step'", "code.py"),
    "left": ((*RULE, "method.optimizer.name=mine.code.Leaving"), "training raised SystemExit", "code.py"),
    "start": ((*RULE, "method.optimizer.name=mine.code.Starting"), "Rule() raised KeyError: 'boom in rule'", "code.py"),
    "base": ((*RULE, "method.optimizer.name=mine.code.Baseless"), "does not call super().__init__(params, ", ""),
    "lonely": (("schedule.name=mine.code.lonely",), "must take iteration, iterations and steps_per_epoch", ""),
}


@pytest.mark.parametrize("case", CODE)
def test_user_code_is_told_by_file_and_line(case: str, here: Path, user_package: Callable[..., None]) -> None:
    user_package("mine", code=MODULE, broken="raise ValueError('boom at import')\n", syntax="def (:\n")
    words, said, where = CODE[case]
    refused = invoke("run", *TINY, *words)
    assert refused.exit_code == 1
    assert said in refused.stderr and where in refused.stderr
    assert len(refused.stderr.splitlines()) <= 2
    assert all(len(table.read_text().splitlines()) == 1 for table in here.rglob("metrics.csv"))  # no row


NUMBERS = {
    "temperature=1e308": "temperature=1e+308: input should be a number <= 3e+38",
    "method.optimizer.lr=1e300": "single precision holds",
    "method.optimizer.lr=1e-300": "single precision holds",
    "threads=99999999999": "threads=99999999999: input should be 'auto' or a number <= 4096",
    "eval.ece_bins=1000000000000": "input should be less than or equal to 100000",
    "model.widths=[1000000000000]": "GiB of memory;",
    "chains=1000000000": "GiB of memory;",
    f"seed={'9' * 5000}": "more than 4300 digits",
    f"chosen={'[' * 300}{']' * 300}": "nested too deeply",
    "dataset.divide=1e300": "it leaves nothing of the inputs but zeros",
    "seed=true": "seed=true: input should be a number, not true or false",
    "chains=true": "chains=true: input should be a number, not true or false",
    "model={name:.}": "no dotted name",
    "model={name:..a}": "no dotted name",
    "hydra.launcher._target_=os.system": "Invalid plugin",
}


@pytest.mark.parametrize("word", NUMBERS, ids=lambda word: word[:40])
def test_what_no_machine_holds_is_refused(word: str, here: Path) -> None:
    multirun = ("-m", "seed=0,1") if word.startswith("hydra") else ()
    key = word.partition("=")[0]
    refused = invoke("run", *(other for other in TINY if other.partition("=")[0] != key), word, *multirun)
    assert refused.exit_code == 1
    assert NUMBERS[word] in refused.stderr
    assert len(refused.stderr.splitlines()) <= 2
    assert not list(here.rglob("metrics.csv"))


@pytest.mark.parametrize("words", [("--resolve",), ("--shell-completion", "x")])
def test_hydras_flags_in_wrong_company_are_refused(words: tuple[str, ...], here: Path) -> None:
    refused = invoke("run", *words)
    assert refused.exit_code == 1 and len(refused.stderr.splitlines()) == 1


def test_a_name_that_is_a_path_is_no_dataset(here: Path) -> None:
    refused = invoke("data", "fetch", "../../x")
    assert refused.exit_code == 1 and "no dotted name" in refused.stderr


def test_a_schedule_is_checked_at_each_step(here: Path, user_package: Callable[..., None]) -> None:
    user_package("mine", code=MODULE)
    failed = invoke("run", *TINY, "schedule.name=mine.code.late")
    assert failed.exit_code == 1 and "factor(1, …) is -1.0" in failed.stderr


def test_rows_of_zeros_are_data(here: Path, user_package: Callable[..., None]) -> None:
    user_package("mine", code=MODULE)
    done = invoke("run", *TINY, "dataset.name=mine.code.Late", "model.widths=[4]")
    assert done.exit_code == 0, done.stderr
