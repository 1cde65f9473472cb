"""Six methods on the embedded digits: what a sweep, its comparison and its figure look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.paper import Figure, Value

if TYPE_CHECKING:
    import matplotlib.figure


def draw(data: Path, title: str) -> matplotlib.figure.Figure:
    """Return test error against iterations."""
    from bnnbench.analysis.plots.curves import draw as draw_curves

    return draw_curves(data, x="iteration", title=title)


def table(data: Path, values: Sequence[Value]) -> str:
    """Return the tables of `bnnbench compare` for the runs, as Markdown."""
    from bnnbench.analysis.compare import compare
    from bnnbench.analysis.tables import to_markdown

    return to_markdown(compare([data], by=["method"]))


FIGURE = Figure(
    title="Six methods on the digits",
    source="no paper: the sweep of `make sweep-demo`",
    cost="3 minutes on 2 cores",
    sweeps=(("method=sgd,sgld,psgld,batchnorm_sgld,vd,sparse_vd", "seed=0,1,2", "name=sweep_demo", "threads=1"),),
    quick=("epochs=25", "seed=0"),
    draw=draw,
    table=table,
    note=(
        "Default settings of every method on 1 438 small images, 100 epochs: it shows the tool, and ranks nothing. "
        "Sparse VD is still dropping weights when the budget ends."
    ),
)
