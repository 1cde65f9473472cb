"""A sampler, a network, a schedule and a dataset of the user's own, outside the package, by dotted names and yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import invoke
from support.records import manifests
from support.user_code import package

SAMPLER = '''
"""SGLD with a noise that can be turned up."""
from typing import Annotated
import torch
from annotated_types import Ge
from torch.optim import Optimizer


def standard_normal(tensors):
    return [torch.randn_like(t) for t in tensors]


class Loud(Optimizer):
    injects_noise = True

    def __init__(self, params, lr, num_data, temperature: float = 1.0, weight_decay=0.0, noise=standard_normal,
                 loudness: Annotated[float, Ge(0)] = 1.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "temperature": temperature})
        self.num_data, self.noise, self.loudness = num_data, noise, loudness

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            lr, std = group["lr"], self.loudness * (2 * group["lr"] * group["temperature"] / self.num_data) ** 0.5
            for p, xi in zip(group["params"], self.noise(group["params"])):
                p.add_(p.grad + group["weight_decay"] * p, alpha=-lr).add_(xi, alpha=std)
'''
NETWORK = '''
"""Two dense layers."""
from math import prod
from torch import nn


def build(in_shape, outputs, *, units: int = 4):
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), units), nn.Tanh(), nn.Linear(units, outputs))
'''
SCHEDULE = '''
"""Half the step from the middle on."""


def factor(iteration, *, iterations, steps_per_epoch, low: float = 0.5):
    return 1.0 if 2 * iteration < iterations else low


def convergence(low: float = 0.5):
    return "it does not decay"
'''
DATASET = '''
"""Two clouds."""
import numpy as np

TASK, CLASSES = "classification", 2


def load(root, part, *, distance: float = 4.0, size: int = 120):
    random = np.random.default_rng(0 if part == "train" else 1)
    y = np.arange(size) % 2
    return random.normal(size=(size, 2)) + distance * y[:, None], y
'''
YAML = {
    "method/loud.yaml": """# SGLD, louder
name: loud
label: Loud SGLD
optimizer: {name: theirs.sampler, lr: 0.3, temperature: "${temperature}", loudness: 1.5}
predictive:
  name: samples
  burn_in: ${members.burn_in}
  thin: ${members.thin}
  average: ${members.average}
  weight: ${members.weight}
reference: ""
""",
    "model/small.yaml": "name: theirs.network\nlabel: small\ninit: torch\nunits: 5\n",
    "schedule/halved.yaml": "name: theirs.schedule\nlow: 0.25\n",
    "dataset/clouds.yaml": """name: theirs.dataset
label: Clouds
distance: 5.0
budget: {epochs: 20, batch_size: 20, eval_every: 20, burn_in: 20}
""",
}


@pytest.fixture
def theirs(here):
    """The user's working directory with a package and yaml files of their own."""
    for name, text in YAML.items():
        (here / "my_conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "my_conf" / name).write_text(text)
    with package(here / "theirs", sampler=SAMPLER, network=NETWORK, schedule=SCHEDULE, dataset=DATASET):
        yield here


def run(*words):
    return invoke("run", "threads=1", *words)


def last_error(folder: Path, predictor: str = "posterior") -> float:
    (manifest,) = manifests(folder)
    assert manifest["status"] == "finished"
    return manifest["final"][f"test/{predictor}/0"]["error"]


def test_everything_by_yaml_in_a_folder_of_ones_own(theirs):
    result = run("--config-dir", "my_conf", "dataset=clouds", "model=small", "method=loud", "schedule=halved")
    assert result.exit_code == 0, result.stderr
    assert [path.name[:-8] for path in theirs.glob("results/adhoc/*")] == ["dataset-network-loud-"]
    assert last_error(theirs) < 0.1
    assert "note: schedule=theirs.schedule: it does not decay" in " ".join(result.stdout.split())


def test_a_single_part_by_its_dotted_name(theirs):
    quick = ("model.widths=[8]", "epochs=3", "members.burn_in=5", "eval.every=20")
    result = run("method=sgld", "method.optimizer.name=theirs.sampler.Loud", "+method.optimizer.loudness=0", *quick)
    assert result.exit_code == 0, result.stderr
    assert last_error(theirs) < 0.9


def test_a_network_by_its_dotted_name(theirs):
    result = run("model=logistic", "model.name=theirs.network", "+model.units=6", "method=sgd", "epochs=3")
    assert result.exit_code == 0, result.stderr
    assert last_error(theirs, "current") < 0.9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("+method.optimizer.loud=1 method.optimizer.name=theirs.sampler method=sgld", "Did you mean 'loudness'"),
        (
            "+method.optimizer.loudness=-1 method.optimizer.name=theirs.sampler method=sgld",
            "loudness=-1: input should be",
        ),
        (
            "model=logistic model.name=theirs.network +model.untis=3",
            "model.untis: no such option. Did you mean 'units'",
        ),
        ("model=logistic model.name=theirs.nets", "theirs.nets: not found"),
        ("--config-dir my_conf method=lod", "method=lod: no such choice. Did you mean 'loud'"),
    ],
)
def test_mistakes_with_ones_own_parts_are_answered_alike(words, message, theirs):
    result = run(*words.split())
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (theirs / "results").exists()
