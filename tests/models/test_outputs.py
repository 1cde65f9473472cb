"""What a network returns is looked at before it is trained: its shape, its type, and that it is a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.cli import invoke
from support.records import manifests

from bnnbench.models import build_network

NETS = '''
"""Networks of the user's own, most of them wrong."""
import math
import torch
from torch import nn


def wide(in_shape, outputs): return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), outputs + 3))
def narrow(in_shape, outputs): return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), 1))


class Odd(nn.Module):
    def __init__(self, in_shape, outputs, change):
        super().__init__()
        self.body, self.change = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), outputs)), change

    def forward(self, x): return self.change(self, self.body(x))


def pair(in_shape, outputs): return Odd(in_shape, outputs, lambda self, y: (y, None))
def none(in_shape, outputs): return Odd(in_shape, outputs, lambda self, y: None)
def integers(in_shape, outputs): return Odd(in_shape, outputs, lambda self, y: y.long())
def one_datum(in_shape, outputs): return Odd(in_shape, outputs, lambda self, y: y.mean(0))
def raises(in_shape, outputs): return Odd(in_shape, outputs, lambda self, y: {}["key"])
def nan(in_shape, outputs):
    return Odd(in_shape, outputs, lambda self, y: y if self.training or not y.abs().sum() else y * math.nan)


def lazy(in_shape, outputs): return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(outputs))
def draws(in_shape, outputs): return Odd(in_shape, outputs, lambda self, y: y + torch.randn_like(y))
'''
QUICK = ("method=sgd", "model=logistic", "epochs=1", "threads=1")


@pytest.fixture(autouse=True)
def nets(user_package: Callable[..., None]) -> None:
    user_package("theirs", nets=NETS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wide", "float32 [2, 13]. It must return outputs [2, 10] in single precision"),
        ("narrow", "float32 [2, 1]"),
        ("pair", "to tuple."),
        ("none", "to NoneType."),
        ("integers", "to int64 [2, 10]"),
        ("one_datum", "float32 [10]"),
        ("raises", "fails on inputs [2, 1, 8, 8]: KeyError: 'key'"),
    ],
)
def test_wrong_outputs_are_refused_in_a_line(name: str, words: str, here: Path) -> None:
    refused = invoke("run", *QUICK, f"model.name=theirs.nets.{name}")
    assert refused.exit_code == 1
    assert words in refused.stderr and len(refused.stderr.splitlines()) <= 2
    assert not list(here.glob("results/*/*"))


def test_outputs_that_are_nan_in_evaluation_end_the_run(here: Path) -> None:
    failed = invoke("run", *QUICK, "model.name=theirs.nets.nan")
    assert failed.exit_code == 1 and "NaN in evaluation mode" in failed.stderr
    assert manifests(here)[0]["status"] == "failed"


def test_lazy_layers_take_their_sizes_from_the_inputs(here: Path) -> None:
    assert invoke("run", *QUICK, "model.name=theirs.nets.lazy", "chains=2").exit_code == 0


@pytest.mark.parametrize("name", ["logistic", "theirs.nets.draws"])
def test_the_look_takes_no_random_numbers_and_leaves_modes_alone(name: str) -> None:
    torch.manual_seed(0)
    network = build_network({"name": name}, (1, 8, 8), 10)
    after = torch.rand(1)
    torch.manual_seed(0)
    from bnnbench.config import plugins

    plugins.function("models", name, "build", takes=("in_shape", "outputs"))((1, 8, 8), 10)
    assert torch.equal(after, torch.rand(1))
    assert all(module.training for module in network.modules())
