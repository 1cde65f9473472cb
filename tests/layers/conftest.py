"""Plain layers to be made stochastic, with inputs, and the check of sample moments."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

LAYERS = {
    "linear": (lambda: nn.Linear(5, 3), (2, 5)),
    "no_bias": (lambda: nn.Linear(5, 3, bias=False), (2, 5)),
    "conv": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 2, 5, 5)),
    "grouped": (lambda: nn.Conv2d(4, 2, (2, 3), groups=2, dilation=(2, 1), bias=False), (2, 4, 5, 4)),
    "reflected": (lambda: nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect"), (2, 2, 4, 4)),
}


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test draws the same numbers, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture(params=LAYERS)
def plain(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    """Return a plain layer and an input batch, in double precision."""
    torch.manual_seed(1)
    build, shape = LAYERS[request.param]
    return build().double(), torch.randn(shape, dtype=torch.float64)


@pytest.fixture
def moments_agree() -> Callable[..., None]:
    """Return (draws [S, …], mean, variance) → None: asserts both within 5.5 standard errors, elementwise."""

    def check(draws: Tensor, mean: Tensor, variance: Tensor) -> None:
        count, centred = len(draws), draws - mean
        error = draws.std(0) / count**0.5
        assert ((centred.mean(0) / error.clamp_min(1e-12)).abs() < 5.5).all()
        squares = centred.square()
        error = squares.std(0) / count**0.5
        assert (((squares.mean(0) - variance) / error.clamp_min(1e-12)).abs() < 5.5).all()

    return check
