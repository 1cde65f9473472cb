"""Hostile inputs end in a refusal of a few lines that names what was given, or are rightly accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hostile.case import KINDS, VERBS, all_cases
from hostile.client import Server

SAMPLE = 25


def sampled() -> list[str]:
    """Return ids of quick cases, spread over the kinds."""
    quick = [case for case in all_cases().values() if not case.fresh and case.verb not in ("run", "tune")]
    return [case.id for case in quick[:: len(quick) // SAMPLE]][:SAMPLE]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("ready")) as running:
        yield running


def assert_right(outcome: dict[str, Any]) -> None:
    assert outcome["verdict"] == "ok", outcome


@pytest.mark.parametrize("id_", sampled())
def test_a_sample(id_: str, server: Server) -> None:
    assert_right(server.run(id_))


@pytest.mark.slow
@pytest.mark.parametrize("id_", all_cases())
def test_all(id_: str, server: Server) -> None:
    assert_right(server.run(id_))


def test_every_kind_and_every_verb_has_twenty() -> None:
    for groups, of in ((KINDS, "kind"), (VERBS, "verb")):
        for group in groups:
            assert sum(getattr(case, of) == group for case in all_cases().values()) >= 20, group
