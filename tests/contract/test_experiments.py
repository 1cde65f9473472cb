"""Every experiment with every method is a run that can start; all are found by their file."""

from __future__ import annotations

import pytest
from support.configurations import composed

from bnnbench.config.composition import choices
from bnnbench.experiment.assembly import check


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_it_composes_with_every_method(experiment: str) -> None:
    for method in choices("method"):
        raw = composed(f"experiment={experiment}", f"method={method}")
        assert raw["method"]["name"] == method
        assert check(raw).method.name == method


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_its_runs_go_into_a_folder_of_their_own(experiment: str) -> None:
    assert composed(f"experiment={experiment}", f"method={choices('method')[0]}")["name"] == experiment
