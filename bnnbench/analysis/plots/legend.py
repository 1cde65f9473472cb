"""Placement of a legend: inside the panel where it hides no line, else beside it."""

from __future__ import annotations

import textwrap
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

WRAP = 46  # characters of an entry before it is broken


def as_text(figure: Figure) -> None:
    """Show text with dollar signs that is no mathtext, such as a user's label, as it is."""
    from matplotlib.mathtext import MathTextParser
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        words = text.get_text()
        if "$" in words:
            try:
                MathTextParser("path").parse(words)
            except ValueError:
                text.set_parse_math(False)


def settle_legends(figure: Figure) -> None:
    """Move each legend that covers part of a line, pale ones included, to the right of its panel.

    The figure grows by the width of the moved legends, so that the panels keep their size.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    as_text(figure)
    for ax in figure.axes:
        if (legend := ax.get_legend()) is not None:
            for text in legend.get_texts():
                text.set_text(textwrap.fill(text.get_text(), WRAP))
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # the figure is yet to grow
        canvas.draw()  # positions are known only once it is drawn
    covering = [(ax, legend) for ax in figure.axes if (legend := ax.get_legend()) is not None and _covers(legend, ax)]
    width, height = figure.get_size_inches()
    for ax, legend in covering:
        box = legend.get_window_extent()
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((1.02, 1.0), transform=ax.transAxes)
        width += (box.width + 12) / figure.dpi
        height = max(height, (box.height + 40) / figure.dpi)
    if covering:
        figure.set_size_inches(width, height)


def _covers(legend: Legend, ax: Axes) -> bool:
    """Whether the legend of `ax` lies on a line or reaches out of the panel."""
    box, panel = legend.get_window_extent(), ax.get_window_extent()
    if box.width > 0.75 * panel.width or box.height > 0.75 * panel.height:
        return True
    for line in ax.lines:
        points = ax.transData.transform(np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float))
        points = points[np.isfinite(points).all(1)]
        if not len(points):
            continue
        # Between two points as well: a line may cross a legend without a point inside it.
        steps = np.linspace(0, 1, 20)[:, None, None]
        dense = (points[:-1] + steps * (points[1:] - points[:-1])).reshape(-1, 2) if len(points) > 1 else points
        inside = (dense > [box.x0, box.y0]).all(1) & (dense < [box.x1, box.y1]).all(1)
        if inside.any():
            return True
    return False
