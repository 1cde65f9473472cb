"""The description of a paper's figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bnnbench.config.plugins import find, names
from bnnbench.errors import ConfigError

if TYPE_CHECKING:
    import matplotlib.figure

# How a published number is known; the words stand beside it wherever it is shown.
SEEN = "seen in the source"
READ_OFF = "read off a plot"
RECALLED = "recalled, not checked"
MARKS = (SEEN, READ_OFF, RECALLED)


@dataclass(frozen=True)
class Value:
    """A number that a paper gives.

    Attributes:
        what: what it measures: "SGLD", "LeNet-300-100, sparsity of each layer".
        value: the number; as text if its digits matter ("1.40") or if it is several.
        source: paper, and figure or table.
        mark: `SEEN`, `READ_OFF` or `RECALLED`.
        unit: appended to the number, with the space between them.
        x: position on the figure's x-axis, of a point on a curve; `value` is then a number.
        method: ``method=`` of the line that it belongs to: shown beside that line's scores, or in its colour.
    """

    what: str
    value: float | str
    source: str
    mark: str
    unit: str = " %"
    x: float | None = None
    method: str = ""

    def __post_init__(self) -> None:
        if self.mark not in MARKS:
            raise ValueError(f"{self.what}: mark {self.mark!r}; allowed are {', '.join(MARKS)}")
        if not self.what or not self.source:
            raise ValueError(f"{self.what or self.value}: a published value needs both what and source")
        if self.x is not None and isinstance(self.value, str):
            raise ValueError(f"{self.what}: a point at x = {self.x:g} needs a number, not {self.value!r}")

    @property
    def text(self) -> str:
        """The value as it was given."""
        return self.value if isinstance(self.value, str) else f"{self.value:g}"

    @property
    def point(self) -> tuple[float, float] | None:
        """Its place (x, value) on a curve; None if it is on none."""
        return None if self.x is None or isinstance(self.value, str) else (self.x, self.value)


@dataclass(frozen=True)
class Figure:
    """A figure; the attributes are explained in `bnnbench.paper`."""

    title: str
    source: str
    cost: str
    draw: Callable[[Path, str], matplotlib.figure.Figure]
    sweeps: tuple[tuple[str, ...], ...] = ()
    quick: tuple[str, ...] = ()
    published: tuple[Value, ...] = ()
    note: str = ""
    table: Callable[[Path, tuple[Value, ...]], str] | None = None
    compute: Callable[[Path, bool], None] | None = None

    def __post_init__(self) -> None:
        if not self.sweeps and self.compute is None:
            raise ValueError(f"{self.title}: neither sweeps nor compute: there would be nothing to draw")
        if self.sweeps and not self.quick:
            raise ValueError(f"{self.title}: quick is empty: give the overrides that reduce the budget")

    def overrides(self, quick: bool) -> list[list[str]]:
        """Return the override list of each sweep; of two overrides for one key, the later applies."""
        return [[*sweep, *(self.quick if quick else ())] for sweep in self.sweeps]


def figures() -> list[str]:
    """Return the names of all figures."""
    return names("paper")


def load_figure(name: str) -> Figure:
    """Return the figure called `name`: ``bnnbench/paper/<name>.py``, or a dotted name of the user's own module.

    Raises:
        ConfigError: no such module, or one without a figure.
    """
    module = find("paper", name)
    figure = getattr(module, "FIGURE", None) if isinstance(module, ModuleType) else module
    if not isinstance(figure, Figure):
        raise ConfigError(f"{name}: the module holds no FIGURE = Figure(...), see bnnbench/paper/__init__.py.")
    return figure
