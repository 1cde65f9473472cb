"""The search of one method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bnnbench.tasks.measures import Measure
from bnnbench.tune.space import Dimension
from bnnbench.tune.study import Study


@dataclass
class Search:
    """The search of one method.

    Attributes:
        method: as typed.
        overrides: of every trial.
        space: the search space.
        config: the resolved configuration without the values of a trial.
        study: the trials.
        measure: by which trials are judged.
    """

    method: str
    overrides: list[str]
    space: list[Dimension]
    config: dict[str, Any]
    study: Study
    measure: Measure
