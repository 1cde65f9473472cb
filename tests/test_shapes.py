"""Shapes computed without torch's compiler are those that torch computes, and what does not fit fails as ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnnbench.experiment.shapes import RULES, Shapes


def meta(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


IMAGES = meta(2, 4, 9, 7)
CALLS: dict[str, Callable[[], Tensor]] = {
    "linear": lambda: F.linear(meta(2, 3, 5), meta(6, 5), meta(6)),
    "linear without bias": lambda: F.linear(meta(5), meta(6, 5)),
    "conv": lambda: F.conv2d(IMAGES, meta(6, 4, 3, 2), meta(6), stride=2, padding=(1, 0), dilation=2),
    "conv by groups": lambda: F.conv2d(IMAGES, meta(8, 1, 3, 3), groups=4),
    "conv same": lambda: F.conv2d(IMAGES, meta(6, 4, 3, 3), padding="same"),
    "max pool": lambda: F.max_pool2d(IMAGES, 2),
    "max pool, strided": lambda: nn.MaxPool2d(3, stride=2, padding=1, dilation=2)(IMAGES),
    "max pool, ceiled": lambda: F.max_pool2d(IMAGES, 2, ceil_mode=True),
    "mean pool": lambda: F.avg_pool2d(IMAGES, (3, 2), stride=1, padding=1),
    "batch norm": lambda: nn.BatchNorm2d(4, device="meta").eval()(IMAGES),
    "relu": lambda: torch.relu(IMAGES),
    "relu in place": lambda: nn.ReLU(inplace=True)(meta(2, 3)),
    "clamp": lambda: IMAGES.clamp(-1, 1),
    "dropout": lambda: F.dropout(IMAGES, 0.5),
    "product": lambda: meta(3, 1, 5) * meta(4, 1),
    "masked": lambda: meta(3, 5) * (meta(5) > 0),
    "of a mask": lambda: (meta(5) > 0) * meta(3, 5),
    "by a number": lambda: 2 - meta(3, 1),
    "with integers": lambda: meta(3) + torch.empty(3, dtype=torch.int64, device="meta"),
    "comparison": lambda: meta(3, 1) > meta(2),
    "where": lambda: torch.where(meta(3, 1) > 0, meta(3, 2), meta(2)),
    "where, a number": lambda: torch.where(meta(3, 1) > 0, meta(3, 2), 1.0),
    "where, a number first": lambda: torch.where(meta(4) > 0, 0.0, meta(2, 1)),
    "cat": lambda: torch.cat((meta(2, 3), meta(2, 4)), dim=-1),
    "full like": lambda: torch.full_like(meta(2, 3), 1.0),
    "like, of another type": lambda: torch.zeros_like(meta(2, 3), dtype=torch.int64),
    "no rule": lambda: torch.softmax(meta(2, 3), 1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_shape_type_and_place_are_torchs(call: Callable[[], Tensor]) -> None:
    expected = call()
    with Shapes():
        found = call()
    assert (found.shape, found.dtype, found.device) == (expected.shape, expected.dtype, expected.device)


WRONG: dict[str, Callable[[], Any]] = {
    "linear": lambda: F.linear(meta(2, 4), meta(6, 5)),
    "bias": lambda: F.linear(meta(2, 5), meta(6, 5), meta(7)),
    "channels": lambda: F.conv2d(IMAGES, meta(6, 3, 3, 3)),
    "too small": lambda: F.conv2d(IMAGES, meta(6, 4, 9, 9)),
    "pooled away": lambda: F.max_pool2d(IMAGES, 8),
    "padding": lambda: F.max_pool2d(IMAGES, 2, padding=2),
    "sum": lambda: meta(3) + meta(4),
    "cat": lambda: torch.cat((meta(2, 3), meta(3, 4)), dim=1),
    "dim": lambda: torch.cat((meta(2, 3), meta(2, 3)), dim=2),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused_by_torch(call: Callable[[], Any]) -> None:
    with pytest.raises((RuntimeError, IndexError)) as expected:
        call()
    with Shapes(), pytest.raises(type(expected.value)) as found:
        call()
    assert str(found.value) == str(expected.value)


def test_numbers_are_computed_as_ever() -> None:
    x = torch.tensor([[-1.0, 2.0]])
    with Shapes():
        assert F.linear(torch.relu(x), torch.ones(1, 2)).tolist() == [[2.0]]


def test_the_common_operations_have_rules() -> None:
    assert {F.linear, F.conv2d, F.relu, torch.max_pool2d} <= set(RULES)
