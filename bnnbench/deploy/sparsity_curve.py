"""`bnnbench sparsity`: scores against the threshold of log α above which weights are dropped, without retraining."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from bnnbench.analysis.plots.sparsity import COLUMNS, plot_sparsity
from bnnbench.analysis.plots.style import check_formats
from bnnbench.deploy.trained import Trained, load_trained
from bnnbench.errors import ConfigError
from bnnbench.experiment.assembly import burn_in
from bnnbench.experiment.evaluation import Evaluator
from bnnbench.experiment.progress import make_console
from bnnbench.inference.approximations.point import Point
from bnnbench.inference.chains import Chains
from bnnbench.inference.normalisation import policy_for
from bnnbench.layers.conversion import deconvert
from bnnbench.layers.sparsity import count_weights, layers_with_alpha, log_alpha_of_weights, own_thresholds
from bnnbench.store.tables import write_csv
from bnnbench.store.targets import check_folder
from bnnbench.tasks.measures import BESIDE_THE_SCORE, Measure, main_measure, measures_of

GRID = tuple(step / 2 for step in range(-16, 17))  # −8 to 8, the range of log α in Sparse VD
MOST = 1000  # thresholds


def sparsity_curve(
    folder: str | Path,
    *,
    chain: int = 0,
    thresholds: Iterable[float] = GRID,
    out: str | Path | None = None,
    formats: Sequence[str] = ("png", "pdf", "svg"),
    device: str = "auto",
    allow_code: Sequence[str] = (),
    console: Console | None = None,
) -> list[Path]:
    """Measure, print, record and draw the curve of one chain of the run in `folder`; return the files written.

    Args:
        folder: of a run whose layers have an α.
        chain: which of its networks.
        thresholds: of log α; those of the run's layers are added.
        out: folder of ``sparsity_curve.csv`` and of the figure; default: the run's.
        formats: of the figure, among png, pdf and svg; empty for no figure.
        device: where to evaluate.
        allow_code: see `load_trained`.
        console: where to print.

    Raises:
        ConfigError: no layer has an α; no such chain; `out` is no folder.
        BnnbenchError: no such format; and see `load_trained`.
    """
    console = console or make_console()
    check_formats(formats)
    check_folder(out)
    trained = load_trained(folder, device, allow_code)
    rows = measure(trained, chain, thresholds)
    for note in trained.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    measures = measures_of(trained.run.manifest)
    console.print(_table(rows, trained.title, measures))
    target = Path(out) if out is not None else trained.folder
    target.mkdir(parents=True, exist_ok=True)
    table = target / "sparsity_curve.csv"
    write_csv(table, rows)
    return [table, *plot_sparsity(table, formats=formats, title=trained.title, measures=measures)]


@torch.no_grad()
def measure(trained: Trained, chain: int = 0, thresholds: Iterable[float] = GRID) -> list[dict[str, Any]]:
    """Return a row for every threshold and split: the weights dropped, and the scores of the remaining mean weights.

    ``own`` is 1 at the threshold of the run, if all its layers share one. ``dropped`` is the fraction of all dense and
    convolutional weights; biases are never dropped. BatchNorm's statistics follow the run's policy for each threshold.

    Raises:
        ConfigError: no layer has an α; no such chain.
    """
    network = trained.network(chain)
    own = own_thresholds(network)
    try:
        alphas = {name: log_alpha_of_weights(layer) for name, layer in layers_with_alpha(network).items()}
    except ConfigError as error:
        raise ConfigError(f"{trained.folder}: {error}") from None
    plain = deconvert(network, weight_of=lambda layer: layer.weight)
    full = {name: plain.get_parameter(f"{name}.weight").clone() for name in alphas}
    evaluator = _evaluator(trained, plain)
    others = count_weights(plain)[0] - sum(weight.numel() for weight in full.values())
    rows = []
    for threshold in sorted({*map(float, thresholds), *own}):
        kept = others
        for name, alpha in alphas.items():
            mask = alpha <= threshold
            kept += int(mask.sum())
            plain.get_parameter(f"{name}.weight").copy_(torch.where(mask, full[name], 0.0))
        weights = others + sum(weight.numel() for weight in full.values())
        row = {
            "chain": chain,
            "threshold": threshold,
            "own": int(own == [threshold]),
            "weights": weights,
            "kept": kept,
            "dropped": (weights - kept) / weights,
            "compression": weights / kept if kept else math.inf,
        }
        for scores in evaluator(member=False):
            names = [main_measure(trained.run.manifest, scores).name, *BESIDE_THE_SCORE]
            rows.append({**row, "split": scores["split"], **{name: scores[name] for name in names if name in scores}})
    return rows


def _evaluator(trained: Trained, network: nn.Module) -> Evaluator:
    """Return an evaluator that scores `network` on the run's splits as the run's own evaluation does."""
    parts, config = trained.parts, trained.config
    alone = Chains(lambda: network, [0], parts.device)
    policy = policy_for(config.method.bn_stats, alone, parts.normalisation.x, config.batch_size, burn_in(config))
    policy.on_resume(trained.iteration)
    splits = {name: split for name, split in parts.evaluator.splits.items() if name not in parts.data.ood}
    return Evaluator(parts.task, alone, splits, set(), Point(), policy, parts.evaluator.batch_size, config.seed)


def parse_thresholds(text: str) -> list[float]:
    """Return the numbers in ``-2,0,3`` or in ``first:last:step``.

    Raises:
        ConfigError: neither, or far too many.
    """
    try:
        if ":" in text:
            first, last, step = map(float, text.split(":"))
            count = math.floor((last - first) / step + 1e-9) + 1
            values = [first + i * step for i in range(min(count, MOST + 1))]
        else:
            values = [float(word) for word in text.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError):
        values = []
    if not values or not all(map(math.isfinite, values)):
        raise ConfigError(f"--thresholds {text}: give numbers, such as -2,0,3, or first:last:step, such as -8:8:0.5.")
    if len(values) > MOST:
        raise ConfigError(f"--thresholds {text}: more than {MOST} thresholds. Take a larger step.")
    return values


def _table(rows: list[dict[str, Any]], title: str, measures: Mapping[str, Measure]) -> Table:
    """Return the table of the curve, a row per threshold, with the splits side by side."""
    splits = list(dict.fromkeys(row["split"] for row in rows))
    scores = [measures[name] for name in rows[0] if name not in COLUMNS]
    table = Table(title=title, title_justify="left", caption="* the run's own threshold", caption_justify="left")
    if not any(row["own"] for row in rows):
        table.caption = None
    heads = [f"{split} {score.head}" for split in splits for score in scores]
    for head in ("threshold", "dropped %", "compression", *heads):
        table.add_column(head, justify="right", no_wrap=True, overflow="fold")
    for threshold in dict.fromkeys(row["threshold"] for row in rows):
        mine = {row["split"]: row for row in rows if row["threshold"] == threshold}
        first = mine[splits[0]]
        cells = [score.number(mine[split][score.name]) for split in splits for score in scores]
        star = "* " if first["own"] else ""
        dropped, compression = f"{100 * first['dropped']:.2f}", f"{first['compression']:.2f}"
        table.add_row(f"{star}{threshold:g}", dropped, compression, *cells)
    return table
