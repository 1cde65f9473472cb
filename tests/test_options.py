"""The signature of what receives the options is their schema, kept for the next job and never for another receiver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from annotated_types import Gt

from bnnbench.config.signatures import check_options
from bnnbench.errors import ConfigError


def receiver(kind: Any) -> Callable[..., Any]:
    def build(width: int = 1) -> None: ...

    build.__annotations__["width"] = kind
    return build


def test_receivers_of_one_name_have_each_their_own_schema() -> None:
    assert check_options(receiver(int), {"width": 2}, where="model") == {"width": 2}
    with pytest.raises(ConfigError, match=r"model\.width=-2: input should be greater than 0"):
        check_options(receiver(Annotated[int, Gt(0)]), {"width": -2}, where="model")
    assert check_options(receiver(int), {"width": -2}, where="model") == {"width": -2}


@dataclass  # with == and so without a hash
class Builder:
    def __call__(self, width: int = 1) -> None: ...


def test_a_receiver_need_not_have_a_hash() -> None:
    assert check_options(Builder(), {"width": 3}, where="model") == {"width": 3}
