"""The drawing that several figures share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import matplotlib.figure


def against_epochs(data: Path, title: str) -> matplotlib.figure.Figure:
    """Return test error against epochs, of all runs in `data`."""
    from bnnbench.analysis.plots.curves import draw  # loads matplotlib, which listing figures does not need

    return draw(data, x="epoch", title=title, fully=False)
