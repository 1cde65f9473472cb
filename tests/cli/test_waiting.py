"""Idle threads of a run sleep soon, unless the user has chosen how they wait."""

from __future__ import annotations

import os

import pytest

from bnnbench.cli import waiting


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k not in waiting.CHOSEN})


def test_threads_wait_briefly() -> None:
    waiting.wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == waiting.SPINS


@pytest.mark.parametrize("name", waiting.CHOSEN)
def test_the_users_choice_stays(name: str) -> None:
    os.environ[name] = "active"
    before = dict(os.environ)
    waiting.wait_briefly()
    assert os.environ == before
