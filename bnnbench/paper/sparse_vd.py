"""Sparse variational dropout on LeNet-300-100: error, and the weights that each layer keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.paper import SEEN, Figure, Value
from bnnbench.tasks.measures import MEASURES

if TYPE_CHECKING:
    import matplotlib.figure

    from bnnbench.store.frame import Run

MOLCHANOV = "Molchanov et al. 2017, as the README of the released code gives it"
LAYERS = {"fc1": 98.9, "fc2": 97.2, "out": 62.0}  # sparsity, %
ERROR, COMPRESSION = 1.92, 68


def draw(data: Path, title: str) -> matplotlib.figure.Figure:
    """Return test error above and the fraction of weights left below, against epochs; published end values dotted."""
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    from bnnbench.analysis.plots import style
    from bnnbench.analysis.plots.series import limits, series
    from bnnbench.errors import BnnbenchError
    from bnnbench.paper._tables import runs_in

    runs = runs_in(data)
    color = style.METHODS["sparse_vd"].color
    with style.applied():
        width, height = style.PANEL
        figure = Canvas(figsize=(1.1 * width, 1.45 * height), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        for ax, metric, there in ((above, "error", ERROR), (below, "sparsity", 100 / COMPRESSION)):
            line = series(
                runs, metric=metric, x="epoch", split="test", predictor="current", scale=MEASURES[metric].scale
            )
            if line is None:
                raise BnnbenchError(f"{data}: its runs have no test {metric}.")
            middle = line.mean if metric == "error" else 100 - line.mean
            ax.fill_between(line.x, middle - line.error, middle + line.error, color=color, **style.BAND)
            ax.plot(line.x, middle, color=color, linewidth=1.3, label="thresholded means")
            label = f"Molchanov et al. 2017: {ERROR} %, {COMPRESSION} × ({SEEN})"
            ax.axhline(there, color="#4D4D4D", linestyle=":", linewidth=1.5, label=label)
            if metric == "error":
                low, high = limits([line])
                room = 0.05 * (high - low)
                ax.set_ylim(min(low, there - room), max(high, there + room))
        below.set_yscale("log")
        below.set_ylim(0.8, 700)  # room for the legend above 100 %
        below.yaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100]))
        below.yaxis.set_minor_locator(NullLocator())
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        above.set_ylabel("Test error (%)")
        below.set_ylabel("Weights left (%)")
        below.set_xlabel("Epochs")
        below.set_xlim(left=0)
        below.legend(loc="upper right")
        above.set_title(title)
        figure.align_ylabels()
    return figure


def table(data: Path, values: Sequence[Value]) -> str:
    """Return the scores, and the weights that each layer of the first run keeps beside its published sparsity."""
    from bnnbench.paper._tables import runs_in, scores
    from bnnbench.publishing.markdown import markdown

    runs = runs_in(data)
    rows = _layers(runs[0])
    if not rows:
        return scores(data, values) + "\n\nThe runs left no sparsity.csv, so the layers are not listed."
    head = ["layer", "weights", "kept", "dropped, %", "compression", "published, %"]
    cells = []
    for row in rows:
        layer, dropped, compression = row.get("layer", "?"), _number(row, "dropped", 100), _number(row, "compression")
        there = f"{LAYERS[layer]:g} ({SEEN})" if layer in LAYERS else "–"
        if layer == "total":
            there = f"{COMPRESSION} × ({SEEN})"
        cells.append([layer, row.get("weights", "–"), row.get("kept", "–"), dropped, f"{compression} ×", there])
    return f"{scores(data, values)}\n\n{markdown(head, cells)}"


def _layers(run: Run) -> list[dict[str, str]]:
    """Return the rows of the first chain in the run's sparsity.csv; [] if there is no such file."""
    from bnnbench.store.tables import read_csv

    try:
        rows = read_csv(run.folder / "sparsity.csv")
    except FileNotFoundError:
        return []
    return [row for row in rows if row.get("chain") in (None, "", rows[0].get("chain"))]


def _number(row: dict[str, str], column: str, scale: float = 1.0) -> str:
    try:
        return f"{scale * float(row[column]):.1f}"
    except (KeyError, ValueError):
        return "–"


FIGURE = Figure(
    title="Sparse VD on LeNet-300-100",
    source="Molchanov et al. 2017, LeNet-300-100",
    cost="an hour on 2 cores; needs `bnnbench data fetch mnist`",
    sweeps=(("experiment=sparse_vd_lenet300", "threads=1"),),
    quick=("experiment=sparse_vd_lenet300_quick", "epochs=10"),
    draw=draw,
    table=table,
    published=(
        Value("Sparse VD, error", ERROR, MOLCHANOV, SEEN, method="sparse_vd"),
        Value("Sparse VD, sparsity of each layer", "98.9–97.2–62.0", MOLCHANOV, SEEN),
        Value("Sparse VD, compression", COMPRESSION, MOLCHANOV, SEEN, unit=" ×"),
        Value("the same network, dense, error", 1.64, MOLCHANOV, SEEN),
        Value("pruning (Han et al.), error", 1.59, MOLCHANOV, SEEN),
        Value("pruning (Han et al.), compression", 12, MOLCHANOV, SEEN, unit=" ×"),
    ),
)
