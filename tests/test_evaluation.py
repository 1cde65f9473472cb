"""Evaluation leaves training as it was, and BatchNorm's statistics come from where the policy says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bnnbench.config.schema import parse
from bnnbench.data import Split
from bnnbench.errors import ConfigError
from bnnbench.experiment.assembly import Parts, assemble
from bnnbench.experiment.evaluation import Evaluator, splits_of
from bnnbench.experiment.run import step
from bnnbench.inference import normalisation

Compose = Callable[..., dict[str, Any]]
POLICIES = ["running", "refit", "frozen", "batch"]


def trained(compose: Compose, *overrides: str, steps: int = 5) -> Parts:
    parts = assemble(parse(compose("method=batchnorm_sgld", "model.widths=[12]", *overrides)))
    for iteration in range(steps):
        step(parts.optimizer, parts.potential, *parts.batches(iteration), 0.05)
    return parts


def snapshot(parts: Parts) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "chains": parts.chains.state_dict(),
            "optimizer": parts.optimizer.state_dict(),
            "noise": parts.noise.state_dict(),
            "modes": [m.training for m in parts.chains.network.modules()],
            "momenta": [getattr(m, "momentum", None) for m in parts.chains.network.modules()],
            "global": torch.get_rng_state(),
        }
    )


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("chains", [1, 2])
def test_evaluation_never_changes_the_training_state(policy: str, chains: int, compose: Compose) -> None:
    parts = trained(compose, f"method.bn_stats={policy}", f"chains={chains}")
    before = snapshot(parts)
    assert parts.evaluator(member=True)
    assert_same(before, snapshot(parts))


@pytest.mark.parametrize("chains", [1, 3])
def test_refitted_statistics_are_those_of_the_training_data(chains: int, compose: Compose) -> None:
    parts = trained(compose, "method.bn_stats=refit", f"chains={chains}")
    x = parts.data.train.x[:400]
    buffers = normalisation.refit(parts.chains, x, batch_size=100)
    for k in range(chains):
        weight = parts.chains.parameters["fc1.layer.weight"].detach()
        hidden = x.flatten(1) @ (weight if chains == 1 else weight[k]).T  # no bias before BatchNorm
        batches = hidden.split(100)
        mean, var = buffers["fc1.norm.running_mean"], buffers["fc1.norm.running_var"]
        torch.testing.assert_close(mean if chains == 1 else mean[k], hidden.mean(0), rtol=1e-4, atol=1e-5)
        expected = torch.stack([b.var(0) for b in batches]).mean(0)
        torch.testing.assert_close(var if chains == 1 else var[k], expected, rtol=1e-4, atol=1e-6)


def test_the_policies_differ_where_they_should(compose: Compose) -> None:
    """After few steps the running averages lag behind: refitting must change, and help, the evaluation."""
    rows = {p: trained(compose, f"method.bn_stats={p}").evaluator(member=True)[0] for p in POLICIES}
    assert rows["refit"] == rows["frozen"]  # before the end of burn-in, frozen is refit
    assert len({rows[p]["nll"] for p in ("running", "refit", "batch")}) == 3
    assert rows["refit"]["nll"] < rows["running"]["nll"]


@pytest.mark.parametrize("chains", [1, 2])
def test_frozen_statistics_are_constants_of_training(chains: int, compose: Compose) -> None:
    parts = trained(compose, "method.bn_stats=frozen", f"chains={chains}")
    parts.normalisation.on_iteration(parts.normalisation.burn_in)
    frozen = copy.deepcopy(parts.chains.buffers)
    weights = parts.chains.parameters["fc1.layer.weight"].detach().clone()
    for iteration in range(5, 8):
        step(parts.optimizer, parts.potential, *parts.batches(iteration), 0.05)
        parts.evaluator(member=True)
    assert_same(frozen, parts.chains.buffers)
    assert not torch.equal(weights, parts.chains.parameters["fc1.layer.weight"])
    # a product over data: the loss of a batch is the mean of the losses of its halves
    x, y = parts.batches(9)
    halves = [parts.potential(x[:, i : i + 50], y[:, i : i + 50]) for i in (0, 50)]
    torch.testing.assert_close(parts.potential(x, y), sum(halves) / 2)


@pytest.mark.parametrize("policy", POLICIES)
def test_neither_memory_nor_neighbours_change_the_numbers(policy: str, compose: Compose) -> None:
    """eval.batch_size bounds the memory, chains run side by side; both leave a chain's evaluation what it is."""
    base = trained(compose, f"method.bn_stats={policy}", "batch_size=64").evaluator(member=True)[0]
    for other in ("eval.batch_size=7", "eval.batch_size=717", "chains=3"):
        row = trained(compose, f"method.bn_stats={policy}", "batch_size=64", other).evaluator(member=True)[0]
        assert row["error"] == base["error"]
        # Products of other shapes round differently, 1e-7 each; a wrong batch of statistics is off by 1e-3 and more.
        assert row["nll"] == pytest.approx(base["nll"], rel=1e-5)


@pytest.mark.parametrize("batch_size", [179, 358])  # 359 test images: a remainder of 1
def test_a_remainder_of_one_datum_joins_the_batch_before(batch_size: int, compose: Compose) -> None:
    rows = trained(compose, "method.bn_stats=batch", f"batch_size={batch_size}").evaluator(member=False)
    assert 0 <= rows[0]["error"] <= 1


def test_frozen_without_burn_in_is_frozen_from_the_start(run_small: Callable[..., Any]) -> None:
    folder = run_small("method=batchnorm_sgld", "method.bn_stats=frozen", "members.burn_in=0", "epochs=4")
    buffers = torch.load(folder / "checkpoint.pt", weights_only=True)["chains"]["buffers"]
    assert buffers["fc1.norm.num_batches_tracked"].item() <= 1438 // 100  # the batches of the refit alone


@pytest.mark.parametrize("splits", ["[valid]", "[]"])
def test_a_split_that_does_not_exist_is_not_replaced_by_another(splits: str, compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.valid"):
        assemble(parse(compose(f"eval.splits={splits}")))
    assert set(assemble(parse(compose("eval.splits=[valid]", "dataset.valid=0.2"))).evaluator.splits) == {"valid"}


def test_the_posterior_is_the_mean_over_members_and_all_is_the_mean_over_chains(compose: Compose) -> None:
    parts = assemble(parse(compose("method=sgld", "chains=2", "model.widths=[8]")))
    probabilities = []
    for iteration in range(3):
        step(parts.optimizer, parts.potential, *parts.batches(iteration), 0.1)
        rows = parts.evaluator(member=True)
        outputs = parts.chains(parts.data.evaluation["test"].x, shared=True).detach().double()
        probabilities.append(outputs.softmax(-1))
    y = parts.data.evaluation["test"].y
    mean = torch.stack(probabilities).mean(0)
    for row in rows:
        if row["predictor"] == "posterior":
            p = mean.mean(0) if row["chain"] == "all" else mean[row["chain"]]
            assert row["members"] == (6 if row["chain"] == "all" else 3)
        else:
            p = probabilities[-1][row["chain"]]
            assert row["mutual_information"] == pytest.approx(0, abs=1e-9)
        assert row["error"] == pytest.approx((p.argmax(-1) != y).double().mean().item())
        assert row["nll"] == pytest.approx(-p[torch.arange(len(y)), y].log().mean().item(), rel=1e-5)


def test_an_out_of_distribution_set_has_an_auroc_and_no_error(compose: Compose) -> None:
    parts = assemble(parse(compose("method=sgd", "model.widths=[16]")))
    noise = torch.rand(300, *parts.data.in_shape, generator=torch.Generator().manual_seed(0))
    parts.data.ood["noise"] = Split(noise, torch.zeros(300, dtype=torch.int64))
    splits = splits_of(parts.data, ["test"], parts.task)
    evaluator = Evaluator(
        parts.task, parts.chains, splits, {"noise"}, parts.approximation, parts.normalisation, batch_size=2000, seed=0
    )
    for iteration in range(200):
        step(parts.optimizer, parts.potential, *parts.batches(iteration), 0.1)
    known, unknown = evaluator(member=False)
    assert (known["split"], unknown["split"]) == ("test", "noise")
    assert "error" in known
    assert "auroc" not in known
    assert "error" not in unknown
    assert 0.8 < unknown["auroc"] <= 1  # a trained network is less sure of noise than of digits
