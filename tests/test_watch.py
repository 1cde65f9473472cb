"""Divergence is found at its step, chain and tensor."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bnnbench.errors import DivergedError
from bnnbench.experiment.divergence import WINDOW, DivergenceGuard
from bnnbench.inference.chains import Chains

CPU = torch.device("cpu")


def make(chains: int = 1) -> tuple[DivergenceGuard, Chains]:
    networks = Chains(lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), list(range(chains)), CPU)
    return DivergenceGuard(networks, CPU), networks


def test_a_loss_that_is_not_finite_is_found_at_its_own_step() -> None:
    watch, networks = make(chains=3)
    losses = torch.ones(20, 3)
    losses[13, 2], losses[15, 0] = math.nan, math.inf
    for step, loss in enumerate(losses):
        watch.add(loss, lr=0.5 if step == 13 else 0.1)
    with torch.no_grad():
        networks.parameters["1.weight"][2] = math.nan
    with pytest.raises(
        DivergedError, match=r"nan of chain 2 at iteration 114; first tensor not finite: 1.weight; lr 0.5"
    ):
        watch.check(120)


def test_a_parameter_that_is_not_finite_is_found_before_the_next_loss() -> None:
    watch, networks = make()
    watch.add(torch.ones(1), 0.1)
    watch.check(1)
    with torch.no_grad():
        networks.parameters["0.bias"][0] = math.inf
    watch.add(torch.ones(1), 0.1)
    with pytest.raises(DivergedError, match=r"at iteration 2; first tensor not finite: 0.bias"):
        watch.check(2)


def test_the_mean_loss_is_since_the_last_evaluation() -> None:
    watch, _ = make(chains=2)
    for step in range(WINDOW):
        assert watch.add(torch.tensor([1.0, step]), 0.1) == (step == WINDOW - 1)
    watch.check(WINDOW)
    watch.add(torch.tensor([52.0, 0.0]), 0.1)
    watch.check(WINDOW + 1)
    assert watch.mean() == pytest.approx([102 / 51, sum(range(WINDOW)) / 51])
    watch.add(torch.tensor([3.0, 4.0]), 0.1)
    watch.check(WINDOW + 2)
    assert watch.mean() == [3.0, 4.0]
