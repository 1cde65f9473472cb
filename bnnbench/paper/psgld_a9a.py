"""Bayesian logistic regression on a9a: the speed of SGLD and pSGLD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.paper import READ_OFF, Figure, Value

if TYPE_CHECKING:
    import matplotlib.figure

LI = "Li et al. 2016, the figure for a9a"
SGLD = {500: 16.3, 2000: 15.7, 4000: 15.3, 6000: 15.2, 8000: 15.0, 12000: 14.9, 15000: 14.85}
PSGLD = {300: 15.5, 1200: 15.0, 3500: 14.8, 15000: 14.85}


def draw(data: Path, title: str) -> matplotlib.figure.Figure:
    """Return test error against iterations, on the paper's axes, with the points read off its curves."""
    from bnnbench.analysis.plots.curves import draw as draw_curves
    from bnnbench.paper._marks import mark_published

    figure = draw_curves(data, x="iteration", title=title, ylim=(14.5, 17.5))
    mark_published(figure, FIGURE.published)
    return figure


FIGURE = Figure(
    title="Logistic regression on a9a",
    source=LI,
    cost="5 minutes on 2 cores; needs `bnnbench data fetch a9a`",
    sweeps=(
        ("experiment=psgld_a9a", "method=psgld,sgld", "seed=0,1,2,3,4", "threads=1"),
        ("experiment=psgld_a9a", "method=sgld", "method.optimizer.lr=0.04", "seed=0,1,2,3,4", "threads=1"),
    ),
    quick=("iterations=3000", "seed=0,1"),
    draw=draw,
    published=(
        *(Value("SGLD", error, LI, READ_OFF, x=iteration, method="sgld") for iteration, error in SGLD.items()),
        *(Value("pSGLD", error, LI, READ_OFF, x=iteration, method="psgld") for iteration, error in PSGLD.items()),
    ),
    note=(
        "Posterior mean over all iterates, 100 apart. The step sizes are ours: those with the least validation error "
        "over the run, 0.03 for pSGLD and 1 for SGLD; and for SGLD also 0.04, chosen afterwards because its curve is "
        "the published one. All fall as (1 + t/1000)^−0.55. With the step that validation chooses, SGLD is "
        "as fast as pSGLD: the published gap looks like one of step sizes. Published points are good to about ± 0.1."
    ),
)
