"""Published points on a figure of curves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bnnbench.paper._figure import Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mark_published(figure: Figure, values: Iterable[Value]) -> None:
    """Mark each of `values` that has an x with a cross in the colour of its method, and add the legend's entries."""
    from bnnbench.analysis.plots import style
    from bnnbench.analysis.plots.legend import settle_legends

    curves: dict[tuple[str, str, str, str], list[tuple[float, float]]] = {}
    for value in values:
        if value.point is not None:
            curves.setdefault((value.what, value.source, value.mark, value.method), []).append(value.point)
    ax = figure.axes[0]
    handles = [line for line in ax.lines if not str(line.get_label()).startswith("_")]
    with style.applied():
        for (what, source, mark, method), points in curves.items():
            handles += ax.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=style.METHODS[method].color if method in style.METHODS else "#4D4D4D",
                label=f"{what}, {source.partition(',')[0]} ({mark})",
                linestyle="none",
                marker="x",
                markersize=6,
                markeredgewidth=1.6,
                zorder=4,
            )
        ax.legend(handles=handles, loc="best")
        width, height = style.PANEL
        figure.set_size_inches(width, height + 0.15)  # the first legend may have widened it
        settle_legends(figure)
