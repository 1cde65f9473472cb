"""The KL of variational dropout and its approximations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bnnbench.errors import BnnbenchError
from bnnbench.paper import SEEN, Figure, Value
from bnnbench.store import manifest
from bnnbench.store.manifest import Manifest
from bnnbench.store.tables import read_csv, write_csv

if TYPE_CHECKING:
    import matplotlib.figure

KINGMA = "Kingma et al. 2015, as released code of later papers has it"
MOLCHANOV = "Molchanov et al. 2017, released code"
DRAWS, QUICK_DRAWS = 1_000_000, 20_000
STEP = 0.1  # of log α, in [−8, 8]
CURVE = "curve.csv"


class Form(NamedTuple):
    """An approximation of −KL: its legend entry and look, and the largest log α that it is meant for."""

    words: str
    color: str
    dashes: str
    largest: float = math.inf


FORMS = {  # by column of curve.csv; drawn in this order
    "sigmoid": Form("sigmoid (Molchanov et al. 2017)", "#D55E00", "-"),
    "bound": Form("bound, α ≤ 1 (Kingma et al. 2015)", "#009E73", ":", largest=0),
    "cubic": Form("cubic, α ≤ 1 (Kingma et al. 2015)", "#0072B2", "--", largest=0),
}


def compute(folder: Path, quick: bool) -> None:
    """Write curve.csv: log α, −KL in nats by Monte Carlo, its standard error, and −KL by each approximation.

    KL = E log|1 + √α ε| − ½ log α + c with ε ~ N(0, 1), see `bnnbench.layers.kl`. Each α has its own draws.
    """
    import torch

    from bnnbench.experiment import machine
    from bnnbench.layers import kl

    draws, seed = QUICK_DRAWS if quick else DRAWS, 0
    generator = torch.Generator().manual_seed(seed)
    log_alpha = torch.arange(round(-8 / STEP), round(8 / STEP) + 1, dtype=torch.float64) * STEP
    forms = {name: (-getattr(kl, name)(log_alpha)).tolist() for name in FORMS}
    rows = []
    for i, at in enumerate(log_alpha.tolist()):
        noise = torch.randn(draws, dtype=torch.float64, generator=generator)
        logs = (1 + torch.tensor(at / 2, dtype=torch.float64).exp() * noise).abs().log()
        expected, error = logs.mean().item(), logs.std().item() / draws**0.5
        cells = {"monte_carlo": 0.5 * at - expected - kl.CONSTANT, "standard_error": error}
        cells |= {name: values[i] for name, values in forms.items()}
        rows.append({"log_alpha": f"{at:.1f}", **{name: f"{cell:.6f}" for name, cell in cells.items()}})
    write_csv(folder / CURVE, rows)
    facts = {**machine.describe(torch.device("cpu"), torch.get_num_threads()), "draws": draws, "seed": seed}
    Manifest(facts).write(folder)


def draw(data: Path, title: str) -> matplotlib.figure.Figure:
    """Return −KL against log α, and below it the error of each approximation."""
    from matplotlib.figure import Figure as Canvas

    from bnnbench.analysis.plots import style

    columns, draws = _read(data), Manifest.read(data).get("draws")
    if not isinstance(draws, int):
        raise BnnbenchError(f"{data / manifest.NAME}: no number of draws. Make it: make figures FIG=vd_kl")
    x, exact, error = columns["log_alpha"], columns["monte_carlo"], columns["standard_error"]
    with style.applied():
        width, height = style.PANEL
        figure = Canvas(figsize=(1.15 * width, 1.55 * height), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
        for ax, middle in ((above, exact), (below, [0.0] * len(x))):
            low = [m - 2 * e for m, e in zip(middle, error, strict=True)]
            high = [m + 2 * e for m, e in zip(middle, error, strict=True)]
            ax.fill_between(x, low, high, color="#4D4D4D", alpha=0.35, linewidth=0, zorder=1)
        above.plot(x, exact, color="#4D4D4D", linewidth=4, alpha=0.45, label=f"Monte Carlo, {draws:,} draws, ± 2 s.e.")
        below.axhline(0, color="#4D4D4D", linewidth=0.8)
        for name, form in FORMS.items():
            shown = _shown(form, x)
            look = {"color": form.color, "linestyle": form.dashes, "linewidth": 1.7, "zorder": 3}
            above.plot([x[i] for i in shown], [columns[name][i] for i in shown], label=form.words, **look)
            below.plot([x[i] for i in shown], [columns[name][i] - exact[i] for i in shown], **look)
        above.set_ylim(-4.9, 0.35)
        below.set_ylim(-0.055, 0.055)
        above.set_ylabel(r"$-\mathrm{KL}$ (nats)")
        below.set_ylabel("minus Monte Carlo (nats)")
        below.set_xlabel(r"$\log\,\alpha$")
        for ax in (above, below):
            ax.set_xlim(-8, 8)
            ax.axvline(0, color="#999999", linewidth=0.8, zorder=0)
        above.legend(loc="lower right")
        above.set_title(title)
        figure.align_ylabels()
    return figure


def table(data: Path, values: Sequence[Value]) -> str:
    """Return the deviation of each approximation from Monte Carlo, within its range."""
    from bnnbench.publishing.markdown import markdown

    columns = _read(data)
    x, rows = columns["log_alpha"], []
    for name, form in FORMS.items():
        off = [columns[name][i] - columns["monte_carlo"][i] for i in _shown(form, x)]
        error = max(columns["standard_error"][i] for i in _shown(form, x))
        rows.append(
            [
                form.words,
                f"{round(min(off), 3) + 0:+.3f}",
                f"{round(max(off), 3) + 0:+.3f}",
                f"{(max(off) - min(off)) / 2:.3f}",
                f"{error:.4f}",
            ]
        )
    head = [
        "approximation of −KL",
        "least difference, nats",
        "greatest difference, nats",
        "greatest with the best constant",
        "greatest standard error",
    ]
    return markdown(head, rows)


def _shown(form: Form, x: Sequence[float]) -> list[int]:
    """Return the positions in `x` of those log α that the approximation is meant for."""
    return [i for i, at in enumerate(x) if at <= form.largest + 1e-9]


def _read(data: Path) -> dict[str, list[float]]:
    try:
        rows = read_csv(data / CURVE)
    except FileNotFoundError:
        raise BnnbenchError(f"{data / CURVE}: no such file. Make it: make figures FIG=vd_kl") from None
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


FIGURE = Figure(
    title="KL of variational dropout",
    source="Kingma et al. 2015; Molchanov et al. 2017",
    cost="10 seconds; no data",
    compute=compute,
    draw=draw,
    table=table,
    published=(
        Value("cubic: c₁, c₂, c₃", "1.16145124, −1.50204118, 0.58629921", KINGMA, SEEN, unit=""),
        Value("sigmoid: k₁, k₂, k₃", "0.63576, 1.87320, 1.48695", MOLCHANOV, SEEN, unit=""),
    ),
    note=(
        "−KL(q ‖ p) of q(w) = N(θ, αθ²) from the log-uniform prior, with the constant that makes it 0 as α → ∞. The "
        "cubic and the bound are for α ≤ 1 alone and are not drawn beyond. The papers leave the constant of the cubic "
        "open; the one taken here is right as α → 0."
    ),
)
