"""Evaluation leaves training as it was, and BatchNorm's statistics come from where the policy says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bnnbench.config import parse
from bnnbench.data import Split
from bnnbench.layers import statistics
from bnnbench.run import Parts, assemble, step

Compose = Callable[..., dict[str, Any]]
POLICIES = ["running", "refit", "frozen", "batch"]


def trained(compose: Compose, *overrides: str, steps: int = 5) -> Parts:
    parts = assemble(parse(compose("method=batchnorm_sgld", "model.widths=[12]", *overrides)))
    for iteration in range(steps):
        step(parts.update, parts.potential, *parts.batches(iteration), 0.05)
    return parts


def snapshot(parts: Parts) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "chains": parts.chains.state_dict(),
            "update": parts.update.state_dict(),
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
    buffers = statistics.refit(parts.chains, x, batch_size=100)
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
    parts.evaluator.freeze()
    frozen = copy.deepcopy(parts.chains.buffers)
    weights = parts.chains.parameters["fc1.layer.weight"].detach().clone()
    for iteration in range(5, 8):
        step(parts.update, parts.potential, *parts.batches(iteration), 0.05)
        parts.evaluator(member=True)
    assert_same(frozen, parts.chains.buffers)
    assert not torch.equal(weights, parts.chains.parameters["fc1.layer.weight"])
    # a product over data: the loss of a batch is the mean of the losses of its halves
    x, y = parts.batches(9)
    halves = [parts.potential(x[:, i : i + 50], y[:, i : i + 50]) for i in (0, 50)]
    torch.testing.assert_close(parts.potential(x, y), sum(halves) / 2)


def test_batch_statistics_are_those_of_the_training_batch_size(compose: Compose) -> None:
    parts = trained(compose, "method.bn_stats=batch", "batch_size=50")
    small = parts.evaluator(member=False)[0]
    parts.evaluator.config = parse(
        compose(
            "method=batchnorm_sgld", "model.widths=[12]", "method.bn_stats=batch", "batch_size=50", "eval.batch_size=7"
        )
    )
    assert parts.evaluator(member=False)[0] == small  # eval.batch_size is memory, not numbers


def test_the_posterior_is_the_mean_over_members_and_all_is_the_mean_over_chains(compose: Compose) -> None:
    parts = assemble(parse(compose("method=sgld", "chains=2", "model.widths=[8]")))
    probabilities = []
    for iteration in range(3):
        step(parts.update, parts.potential, *parts.batches(iteration), 0.1)
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
    from bnnbench.evaluation import Evaluator

    config = parse(compose("method=sgd", "model.widths=[16]"))
    evaluator = Evaluator(config, parts.data, parts.chains, parts.potential.likelihood)
    for iteration in range(200):
        step(parts.update, parts.potential, *parts.batches(iteration), 0.1)
    known, unknown = evaluator(member=False)
    assert (known["split"], unknown["split"]) == ("test", "noise")
    assert "error" in known
    assert "auroc" not in known
    assert "error" not in unknown
    assert 0.8 < unknown["auroc"] <= 1  # a trained network is less sure of noise than of digits
