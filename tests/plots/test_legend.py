"""A legend hides no line."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bnnbench.analysis.plots.legend import settle_legends


def drawn(lines: list[np.ndarray], label: str = "SGLD") -> Figure:
    figure = Figure(figsize=(4, 3), layout="constrained")
    ax = figure.subplots()
    for i, y in enumerate(lines):
        ax.plot(np.linspace(0, 1, len(y)), y, label=f"{label} {i}")
    ax.set_ylim(0, 1)
    ax.legend(loc="best")
    settle_legends(figure)
    FigureCanvasAgg(figure).draw()
    return figure


def boxes(figure: Figure):
    ax = figure.axes[0]
    return ax.get_legend().get_window_extent(), ax.get_window_extent()


def test_a_legend_with_room_stays_in_the_panel() -> None:
    figure = drawn([np.full(50, 0.1)])
    legend, panel = boxes(figure)
    assert panel.x0 < legend.x0 < legend.x1 < panel.x1
    assert figure.get_size_inches().tolist() == [4, 3]


@pytest.mark.parametrize(
    ("lines", "label"),
    [
        ([np.tile([0.02, 0.98], 40), np.tile([0.98, 0.02], 30)], "SGLD"),  # lines everywhere
        ([np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0])], "SGLD"),  # no point under the legend, but a line
        ([np.full(50, 0.5)], "a label far too long for any panel of this size, and then some more words"),
    ],
)
def test_a_legend_without_room_goes_beside_the_panel_and_the_panel_keeps_its_size(lines, label) -> None:
    figure = drawn(lines, label)
    legend, panel = boxes(figure)
    assert legend.x0 >= panel.x1
    assert legend.x1 <= figure.bbox.x1  # nothing is cut
    assert panel.width > 0.7 * 4 * figure.dpi
