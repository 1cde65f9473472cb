"""The KL of variational dropout and its approximations."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.errors import BnnbenchError
from bnnbench.paper import SEEN, Figure, Value
from bnnbench.store.manifest import Manifest

if TYPE_CHECKING:
    import matplotlib.figure

KINGMA = "Kingma et al. 2015, as released code of later papers has it"
MOLCHANOV = "Molchanov et al. 2017, released code"
DRAWS, QUICK_DRAWS = 1_000_000, 20_000
STEP = 0.1  # of log α, in [−8, 8]
CURVE = "curve.csv"
FORMS = {  # column → words, look; those in front come last
    "sigmoid": ("sigmoid (Molchanov et al. 2017)", "#D55E00", "-"),
    "bound": ("bound, α ≤ 1 (Kingma et al. 2015)", "#009E73", ":"),
    "cubic": ("cubic, α ≤ 1 (Kingma et al. 2015)", "#0072B2", "--"),
}


def compute(folder: Path, quick: bool) -> None:
    """Write curve.csv: log_alpha, then −KL in nats by Monte Carlo, its standard error, and by each approximation.

    KL = E log|1 + √α ε| − ½ log α + c with ε ~ N(0, 1), `bnnbench.layers.kl`. Each α has draws of its own.
    """
    import torch

    from bnnbench.experiment import machine
    from bnnbench.layers import kl

    draws, seed = QUICK_DRAWS if quick else DRAWS, 0
    generator = torch.Generator().manual_seed(seed)
    log_alpha = torch.arange(round(-8 / STEP), round(8 / STEP) + 1, dtype=torch.float64) * STEP
    forms = {name: (-getattr(kl, name)(log_alpha)).tolist() for name in FORMS}
    with (folder / CURVE).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["log_alpha", "monte_carlo", "standard_error", *FORMS])
        for i, at in enumerate(log_alpha.tolist()):
            noise = torch.randn(draws, dtype=torch.float64, generator=generator)
            logs = (1 + torch.tensor(at / 2, dtype=torch.float64).exp() * noise).abs().log()
            expected, error = logs.mean().item(), logs.std().item() / draws**0.5
            cells = [0.5 * at - expected - kl.CONSTANT, error, *(forms[name][i] for name in FORMS)]
            writer.writerow([f"{at:.1f}", *(f"{cell:.6f}" for cell in cells)])
    facts = {**machine.describe(torch.device("cpu"), torch.get_num_threads()), "draws": draws, "seed": seed}
    Manifest(facts).write(folder)


def draw(data: Path, title: str) -> matplotlib.figure.Figure:
    """Return −KL against log α, and below it what each approximation is off by."""
    from matplotlib.figure import Figure as Canvas

    from bnnbench.analysis.plots import style

    columns, draws = _read(data), Manifest.read(data)["draws"]
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
        for name, (words, color, dashes) in FORMS.items():
            shown = _shown(name, x)
            look = {"color": color, "linestyle": dashes, "linewidth": 1.7, "zorder": 3}
            above.plot([x[i] for i in shown], [columns[name][i] for i in shown], label=words, **look)
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
    """Return how far each approximation is from Monte Carlo, within its range."""
    from bnnbench.paper._tables import markdown

    columns = _read(data)
    x, rows = columns["log_alpha"], []
    for name, (words, _, _) in FORMS.items():
        off = [columns[name][i] - columns["monte_carlo"][i] for i in _shown(name, x)]
        error = max(columns["standard_error"][i] for i in _shown(name, x))
        rows.append(
            [
                words,
                f"{round(min(off), 3) + 0:+.3f}",
                f"{round(max(off), 3) + 0:+.3f}",
                f"{(max(off) - min(off)) / 2:.3f}",
                f"{error:.4f}",
            ]
        )
    head = ["approximation of −KL", "least difference", "greatest", "with its best constant", "largest s.e."]
    return markdown(head, rows)


def _shown(name: str, x: Sequence[float]) -> list[int]:
    """Return where the approximation holds: α ≤ 1 for all but the sigmoid."""
    return [i for i, at in enumerate(x) if name == "sigmoid" or at <= 1e-9]


def _read(data: Path) -> dict[str, list[float]]:
    try:
        with (data / CURVE).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
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
        "cubic and the bound are for α ≤ 1 alone and are not drawn beyond; the papers leave the constant of the cubic "
        "open, here it is right as α → 0."
    ),
)
