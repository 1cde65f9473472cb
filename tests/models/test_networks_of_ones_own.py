"""Networks with frozen parameters, recurrence, layers of their own: they run as written, or a line says why not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support.cli import invoke
from torch import Tensor, nn
from torch.nn.utils import prune

from bnnbench.errors import ConfigError
from bnnbench.inference.chains import Chains
from bnnbench.layers.conversion import convert, kl
from bnnbench.layers.kl import cubic
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.vd import VariationalDropout

NETS = """
import math
import torch
from torch import nn

def frozen(in_shape, outputs):
    net = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), 32), nn.ReLU(), nn.Linear(32, outputs))
    net[1].requires_grad_(False)
    return net

def all_frozen(in_shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), outputs)).requires_grad_(False)

def unsteady(in_shape, outputs):
    norm = nn.BatchNorm1d(32, track_running_stats=False)
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), 32), norm, nn.Linear(32, outputs))

class Rows(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.rnn, self.out = nn.GRU(8, 16, batch_first=True), nn.Linear(16, outputs)

    def forward(self, x):
        return self.out(self.rnn(x.reshape(-1, 8, 8))[0][:, -1])

def rows(in_shape, outputs):
    return Rows(outputs)
"""
TINY = ("model=logistic", "method=sgd", "iterations=60", "eval.every=60", "threads=1")


@pytest.fixture
def nets(user_package: Callable[..., None], here: Path) -> None:
    user_package("mine", nets=NETS)


def scores(name: str) -> dict[str, float]:
    (table,) = Path("results", name).glob("*/metrics.csv")
    with table.open() as file:
        return {
            f"{row['split']}/{row['chain']}": float(row["nll"])
            for row in csv.DictReader(file)
            if row["predictor"] == "current" and row["nll"]
        }


@pytest.mark.parametrize("net", ["frozen", "rows"])
def test_a_chain_beside_another_is_the_chain_alone(net: str, nets: None) -> None:
    for chains in (1, 2):
        done = invoke("run", *TINY, f"model.name=mine.nets.{net}", f"chains={chains}", f"name=c{chains}")
        assert done.exit_code == 0, done.stderr
    alone, beside = scores("c1"), scores("c2")
    assert beside["test/0"] == pytest.approx(alone["test/0"], abs=1e-5)
    assert beside["test/1"] != pytest.approx(alone["test/0"], abs=1e-3)


def test_what_is_frozen_stays(nets: None) -> None:
    tiny = (word for word in TINY if not word.startswith("method="))
    assert invoke("run", *tiny, "model.name=mine.nets.frozen", "chains=2", "method=psgld").exit_code == 0
    (folder,) = Path("results/adhoc").iterdir()
    trained = torch.load(folder / "checkpoint.pt", weights_only=True)["chains"]["parameters"]
    from mine.nets import frozen  # type: ignore[import-not-found]
    from support.configurations import composed

    from bnnbench.inference.random import derive_seed

    seed = composed()["seed"]
    for chain in range(2):
        torch.manual_seed(derive_seed(seed, chain, "init"))
        assert torch.equal(trained["1.weight"][chain], frozen((64,), 10)[1].weight)


@pytest.mark.parametrize(
    ("net", "words"), [("all_frozen", "all its parameters are frozen"), ("unsteady", "track_running_stats")]
)
def test_a_network_that_cannot_be_run_is_refused(net: str, words: str, nets: None) -> None:
    refused = invoke("run", *TINY, f"model.name=mine.nets.{net}")
    assert refused.exit_code == 1 and words in refused.stderr
    assert not Path("results").exists()


def test_statistics_of_the_batch_need_no_running_ones(nets: None) -> None:
    done = invoke("run", *TINY, "model.name=mine.nets.unsteady", "method.bn_stats=batch")
    assert done.exit_code == 0, done.stderr


class Branch(nn.Linear):
    """Which way it goes depends on a value: ``torch.vmap`` cannot run it."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if self.weight.sum() > 0 else -y


def test_chains_that_vmap_cannot_run_together_run_one_by_one() -> None:
    chains = Chains(lambda: nn.Sequential(Branch(3, 2), nn.BatchNorm1d(2)), [0, 1, 2], torch.device("cpu"))
    chains.probe((3,))
    assert chains.one_by_one
    x = torch.randn(3, 5, 3)
    chains(x).square().sum().backward()
    for k in range(3):
        torch.manual_seed(k)
        one = nn.Sequential(Branch(3, 2), nn.BatchNorm1d(2))
        one(x[k]).square().sum().backward()
        gradient = chains.parameters["0.weight"].grad
        assert gradient is not None and one[0].weight.grad is not None
        torch.testing.assert_close(gradient[k], one[0].weight.grad)
        torch.testing.assert_close(chains.buffers["1.running_mean"][k], one[1].running_mean)


def test_plain_chains_run_together() -> None:
    chains = Chains(lambda: nn.Linear(3, 2), [0, 1], torch.device("cpu"))
    chains.probe((3,))
    assert not chains.one_by_one


class Masked(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.tril(), self.bias)


class Standardised(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight - weight.mean((1, 2, 3), keepdim=True), bias)


class Renamed(nn.Linear):
    """Adds nothing."""


def hooked() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    return layer


def pruned() -> nn.Module:
    return prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=0.5)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: Masked(4, 3), "Masked has a forward"),
        (lambda: Standardised(2, 3, 3), "Standardised has a _conv_forward"),
        (hooked, "hooks"),
        (pruned, "hooks"),
    ],
)
def test_what_a_layer_does_beside_its_product_is_not_lost(layer: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        convert(nn.Sequential(layer()), MeanField)
    kept = convert(nn.Sequential(layer(), nn.Linear(3, 2)), MeanField, only="!0")
    assert isinstance(kept[1], MeanField) and not isinstance(kept[0], MeanField)


def test_a_subclass_that_adds_nothing_is_converted() -> None:
    assert isinstance(convert(nn.Sequential(Renamed(4, 3)), MeanField)[0], MeanField)


def test_one_weight_has_one_posterior() -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(ConfigError, match=r"0: it shares a parameter with 1"):
        convert(tied, MeanField)
    embedded = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4))
    embedded[1].weight = embedded[0].weight
    with pytest.raises(ConfigError, match=r"1: it shares a parameter with 0"):
        convert(embedded, MeanField)
    twice = nn.Linear(4, 4)
    assert isinstance(convert(nn.Sequential(twice, twice), MeanField)[0], MeanField)  # one layer, one posterior


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_kl_under_autocast_is_that_of_single_precision(dtype: torch.dtype) -> None:
    gaussian = convert(nn.Sequential(nn.Linear(784, 400)), MeanField)
    vd = convert(nn.Sequential(nn.Linear(784, 400)), partial(VariationalDropout, per="weight"))
    right = kl(gaussian).item(), cubic(vd[0].log_alpha.detach().double()).sum().item()
    with torch.autocast("cpu", dtype=dtype):
        assert (kl(gaussian).item(), kl(vd).item()) == pytest.approx(right, rel=1e-5)
