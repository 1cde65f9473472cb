"""The posterior mean against hand-computed cases and against the mean taken over stored members."""

from __future__ import annotations

import math

import pytest
import torch

from bnnbench.tasks.classification import ClassPredictive
from bnnbench.tasks.regression import GaussianPredictive


def members(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 2, 5, 3, dtype=torch.float64, generator=generator).softmax(-1)  # [M, K, N, C]


def test_two_members_by_hand() -> None:
    predictive = ClassPredictive()
    predictive.add(torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    predictive.add(torch.tensor([[[0.5, 0.5]]], dtype=torch.float64))
    result = predictive.result()
    assert result["probabilities"].tolist() == [[[0.75, 0.25]]]
    assert result["entropy"].item() == pytest.approx(math.log(2) / 2)
    geometric = ClassPredictive("log_probability")
    geometric.add(torch.tensor([[[0.9, 0.1]]], dtype=torch.float64))
    geometric.add(torch.tensor([[[0.5, 0.5]]], dtype=torch.float64))
    # √(0.9·0.5) : √(0.1·0.5) = 3 : 1
    assert geometric.result()["probabilities"][0, 0].tolist() == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("average", ["probability", "log_probability"])
def test_the_running_mean_is_the_weighted_mean_of_all_members(average: str) -> None:
    predictive, weights = ClassPredictive(average), [1.0, 0.5, 2.0, 0.1, 0.1, 3.0]
    for p, w in zip(members(), weights, strict=True):
        predictive.add(p, w)
    w = torch.tensor(weights, dtype=torch.float64)[:, None, None, None] / sum(weights)
    if average == "probability":
        expected, pooled = (w * members()).sum(0), (w * members()).sum(0).mean(0)
    else:
        logs = (w * members().log()).sum(0)
        expected, pooled = logs.softmax(-1), logs.mean(0).softmax(-1)
    torch.testing.assert_close(predictive.result()["probabilities"], expected)
    torch.testing.assert_close(predictive.result(pooled=True)["probabilities"][0], pooled)
    assert predictive.members == 6


def test_regression_is_the_density_of_the_mixture() -> None:
    y = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator)
    variance = torch.rand(4, 2, 3, dtype=torch.float64, generator=generator) + 0.1
    weights = torch.tensor([1.0, 2.0, 0.5, 0.5], dtype=torch.float64)
    predictive = GaussianPredictive(y)
    for m, v, w in zip(mean, variance, weights.tolist(), strict=True):
        predictive.add(torch.stack([m, v], -1), w)
    density = torch.distributions.Normal(mean, variance.sqrt()).log_prob(y).exp()
    share = (weights / weights.sum())[:, None, None]
    torch.testing.assert_close(predictive.result()["log_density"], (share * density).sum(0).log())
    torch.testing.assert_close(predictive.result()["mean"], (share * mean).sum(0))
    pooled = predictive.result(pooled=True)
    torch.testing.assert_close(pooled["log_density"][0], (share * density).sum(0).mean(0).log())


@pytest.mark.parametrize("make", [ClassPredictive, lambda: GaussianPredictive(torch.zeros(5))])
def test_it_continues_from_its_state(make) -> None:
    values = members() if make is ClassPredictive else members()[..., :2]
    whole, first, second = make(), make(), make()
    for p in values:
        whole.add(p)
    for p in values[:3]:
        first.add(p)
    second.load_state_dict(first.state_dict())
    for p in values[3:]:
        second.add(p)
    for key, value in whole.result().items():
        assert torch.equal(value, second.result()[key])
