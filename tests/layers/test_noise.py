"""The layers' draws: functions of seed, step and draw, the same for a chain alone and among others."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bnnbench.inference.chains import Chains
from bnnbench.inference.random import layer_stream
from bnnbench.kernels import fill, loops, plain
from bnnbench.kernels.keys import key
from bnnbench.layers import noise
from bnnbench.layers.dropout import Dropout
from bnnbench.layers.gaussian_dropout import GaussianDropout
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.layers.vd import VariationalDropout

CPU = torch.device("cpu")
LAYERS: dict[str, Callable[[nn.Linear], nn.Module]] = {
    "dropout": Dropout,
    "gaussian_A": GaussianDropout,
    "gaussian_B": lambda layer: GaussianDropout(layer, kind="B"),
    "vd_A": lambda layer: VariationalDropout(layer, "A", "layer", 0.5),
    "vd_B": lambda layer: VariationalDropout(layer, "B", "unit", 0.5),
    "sparse_vd": SparseVD,
    "local": MeanField,
    "single": lambda layer: MeanField(layer, estimator="single"),
    "separate": lambda layer: MeanField(layer, estimator="separate"),
    "mixture": lambda layer: MeanField(layer, estimator="single", prior="mixture"),
}


def chains_of(name: str, seeds: list[int]) -> Chains:
    def build() -> nn.Module:
        first, second = nn.Linear(5, 7), nn.Linear(7, 3)
        return nn.Sequential(LAYERS[name](first), nn.ReLU(), LAYERS[name](second))

    return Chains(build, seeds, CPU)


def outputs(chains: Chains, seeds: list[int], x: Tensor, shared: bool = False, step: int = 4) -> tuple[Tensor, Tensor]:
    """Return the outputs of two passes of a step, [2, K, B, out], and the KL [K] after them."""
    with layer_stream(seeds, CPU, "counter"):
        noise.begin(step)
        passes = torch.stack([chains(x, shared=shared) for _ in range(2)])
        return passes.detach(), chains.kl().detach()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_chains_draws_do_not_depend_on_the_others(name: str, shared: bool) -> None:
    torch.manual_seed(0)
    seeds, x = [11, 12, 13], torch.randn(4, 5)
    many, one = chains_of(name, seeds), chains_of(name, seeds[1:2])
    batches = x if shared else torch.stack([x + 1, x, x - 1])
    together, kl = outputs(many, seeds, batches, shared)
    alone, own_kl = outputs(one, seeds[1:2], x if shared else x[None], shared)
    assert torch.allclose(together[:, 1], alone[:, 0], rtol=1e-4, atol=1e-5)
    assert torch.allclose(kl[1], own_kl[0], rtol=1e-4)
    assert not torch.allclose(together[0], together[1])  # passes of a step draw anew
    many.one_by_one = True
    in_turn, _ = outputs(many, seeds, batches, shared)
    assert torch.allclose(in_turn, together, rtol=1e-4, atol=1e-5)


def test_chains_of_the_same_weights_draw_differently() -> None:
    chains = chains_of("dropout", [3, 3])
    found, _ = outputs(chains, [1, 2], torch.ones(4, 5), shared=True)
    assert not torch.allclose(found[:, 0], found[:, 1])


def test_a_step_draws_the_same_numbers_whatever_came_before_it() -> None:
    chains = chains_of("local", [3])
    x = torch.ones(1, 4, 5)
    with layer_stream([1], CPU, "counter"):
        noise.begin(0)
        first = chains(x)
        noise.begin(1)
        second = chains(x)
        torch.rand(3)
        noise.begin(0)
        assert torch.equal(chains(x), first)
    assert not torch.allclose(first, second)
    assert torch.equal(outputs(chains, [1], x, step=1)[0][0], second.detach())


@pytest.mark.parametrize("keep", [1.0, 0.8, 0.5, 1e-3])
def test_masks_have_their_law(keep: float) -> None:
    n = 400_001
    with layer_stream([5], CPU, "counter"):
        mask = noise.retained(torch.empty(n), keep)
    assert set(mask.unique().tolist()) <= {0.0, torch.tensor(1 / keep).item()}
    held = (mask > 0).double()
    assert abs(held.mean() - keep) <= 4.5 * math.sqrt(keep * (1 - keep) / n)
    if keep < 1:
        pairs = ((held[1:] - keep) * (held[:-1] - keep)).mean() / (keep * (1 - keep))
        assert abs(pairs) < 4.5 / math.sqrt(n - 1)


def test_normals_have_their_law() -> None:
    n = 400_001
    with layer_stream([5], CPU, "counter"):
        xi = noise.standard_normal(torch.empty(0), (n,)).double()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(xi.pow(power).mean() - moment) < 4.5 * math.sqrt(variance / n)


@pytest.mark.parametrize("n", [0, 1, 2, 1001])
def test_masks_are_the_same_with_and_without_compiled_loops(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loops("normals") is not None
    found = []
    for module in (loops("normals"), None):
        monkeypatch.setattr(fill, "loops", lambda _, module=module: module)
        with layer_stream([5], CPU, "counter"):
            noise.begin(7)
            found.append((noise.retained(torch.empty(n), 0.3), noise.standard_normal(torch.empty(n))))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-6)
    words = plain.words(n, tuple(map(int, key(5, 0))), 7)
    assert (found[0][0] > 0).tolist() == (words < round(0.3 * 2**32)).tolist()


@pytest.mark.parametrize(
    "like", [torch.empty(3, 4, dtype=torch.float64), torch.empty(3, 4, dtype=torch.bfloat16)], ids=["double", "half"]
)
def test_other_precisions_draw_from_torch(like: Tensor) -> None:
    with layer_stream([5], CPU, "counter"):
        found = noise.standard_normal(like)
    with layer_stream([5], CPU, "torch"):
        assert torch.equal(found, noise.standard_normal(like))
    assert found.dtype is like.dtype


def test_without_a_counter_torch_draws() -> None:
    torch.manual_seed(2)
    found = noise.standard_normal(torch.empty(5)), noise.retained(torch.empty(5), 0.5)
    torch.manual_seed(2)
    assert torch.equal(found[0], torch.randn(5)) and torch.equal(found[1], (torch.rand(5) < 0.5) * 2.0)


def test_a_vmap_that_is_not_over_the_chains_has_its_own_numbers() -> None:
    layer = Dropout(nn.Linear(50, 2))
    chains = Chains(lambda: copy.deepcopy(layer), [1, 2], CPU)

    def per_datum(x: Tensor) -> Tensor:
        return torch.vmap(layer, randomness="different")(x)

    def within(parameters: dict[str, Tensor], chain: Tensor, x: Tensor) -> Any:
        with noise.of_chain(chain):
            call = lambda row: torch.func.functional_call(layer, parameters, (row,))  # noqa: E731
            return torch.vmap(call, randomness="different")(x)

    with layer_stream([1, 2], CPU, "counter"):
        rows = per_datum(torch.ones(3, 50))
        nested = torch.vmap(within, in_dims=(0, 0, None), randomness="different")(
            chains.parameters, torch.arange(2), torch.ones(3, 50)
        )
    assert len(rows.unique(dim=0)) == 3 and len(nested.flatten(0, 1).unique(dim=0)) == 6


@pytest.mark.parametrize("name", ["dropout", "vd_B", "local"])
def test_gradients_of_chains_are_those_of_each_alone(name: str) -> None:
    seeds, x = [11, 12], torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    many = chains_of(name, seeds)
    with layer_stream(seeds, CPU, "counter"):
        many(x).square().sum().backward()
    for k, seed in enumerate(seeds):
        one = chains_of(name, [seed])
        with layer_stream([seed], CPU, "counter"):
            one(x[k : k + 1]).square().sum().backward()
        for each, p in one.parameters.items():
            assert torch.allclose(many.parameters[each].grad[k], p.grad, rtol=1e-3, atol=1e-5), each
