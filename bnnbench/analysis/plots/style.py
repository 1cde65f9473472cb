"""The look of all figures: compact, serif, bold lines with sparse markers, a colour and a marker fixed per method.

Colours are Okabe and Ito's, then Tol's muted set; both stay apart under the common colour-vision deficiencies, and
the markers carry the same information in black and white.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypedDict

from bnnbench.errors import BnnbenchError, did_you_mean

Marker = str | tuple[int, int, int]  # matplotlib's: a letter, or (corners, star?, angle)


class Look(NamedTuple):
    """Colour, marker and dashes of one line."""

    color: str
    marker: Marker
    dashes: str = "-"


class Strong(TypedDict):
    """Arguments of matplotlib's Line2D for a line with markers."""

    linewidth: float
    markersize: float
    markeredgecolor: str
    markeredgewidth: float
    zorder: float


class Faint(TypedDict):
    """Arguments of matplotlib's Line2D, or of the area that `fill_between` draws, for what lies behind a line."""

    linewidth: float
    alpha: float
    zorder: float


METHODS: dict[str, Look] = {
    "sgd": Look("#4D4D4D", "^"),
    "sgld": Look("#0072B2", "o"),
    "rmsprop": Look("#009E73", "D"),
    "psgld": Look("#D55E00", "s"),
    "adam": Look("#56B4E9", "v"),
    "sghmc": Look("#117733", "<"),
    "dropout": Look("#E69F00", "X"),
    "gaussian_dropout": Look("#AA4499", "d"),
    "mean_field": Look("#882255", "h"),
    "vd": Look("#332288", "p"),
    "vd_a": Look("#6699CC", (4, 1, 0)),
    "vd_a2": Look("#88CCEE", (6, 1, 0)),
    "bbb": Look("#CC6677", (5, 0, 180)),
    "bbb_gaussian": Look("#661100", (4, 1, 45)),
    "mc_dropout": Look("#DDCC77", "8"),
    "sparse_vd": Look("#999933", "*"),
    "ensemble": Look("#CC79A7", "P"),
    "batchnorm_sgld": Look("#44AA99", ">"),
    "hmc": Look("#000000", "H"),
}
ALIASES = {"variational_dropout": "vd", "sgd_ensemble": "ensemble"}
CYCLE = [
    Look("#0072B2", "o"),
    Look("#D55E00", "s"),
    Look("#009E73", "D"),
    Look("#CC79A7", "^"),
    Look("#E69F00", "v"),
    Look("#56B4E9", "P"),
    Look("#332288", "X"),
    Look("#999933", "<"),
    Look("#882255", ">"),
    Look("#4D4D4D", "h"),
]
DASHES = ("-", "--", ":", "-.")

RC: dict[str, object] = {
    "font.family": ["STIXGeneral", "DejaVu Serif"],  # both ship with matplotlib: the same figure on every machine
    "mathtext.fontset": "stix",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 8.8,
    "axes.linewidth": 0.9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.fancybox": False,
    "legend.edgecolor": "black",
    "legend.framealpha": 0.92,
    "patch.linewidth": 0.7,  # the legend's box
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # text stays text in the PDF
    "svg.hashsalt": "bnnbench",  # else every drawing of the same numbers gets new identifiers
}
# No time stamps: the same CSV gives the same bytes.
METADATA: dict[str, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}

PANEL = (3.9, 3.0)  # inches, one panel without its caption
BOLD: Strong = {"linewidth": 2.0, "markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 3}
PALE: Faint = {"linewidth": 0.9, "alpha": 0.55, "zorder": 2}
BAND: Faint = {"linewidth": 0, "alpha": 0.25, "zorder": 1}


def applied() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws and saves in this look."""
    import matplotlib

    return matplotlib.rc_context(matplotlib.RcParams(RC))


def check_formats(formats: Iterable[str]) -> None:
    """Raise BnnbenchError unless figures can be written in all of `formats`."""
    for kind in formats:
        if kind not in METADATA:
            raise BnnbenchError(f"formats: no '{kind}'.{did_you_mean(kind, METADATA)}")


def looks(lines: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Look]:
    """Return the look of each line, given as (method, label), for one figure.

    A known method looks the same in every figure. Several lines of one method share its colour and differ in dashes,
    unless it is the only method: then colours separate them best. An unknown method takes a free look of `CYCLE`.
    """
    lines = list(dict.fromkeys(lines))
    methods = list(dict.fromkeys(method for method, _ in lines))
    if len(methods) == 1 and len(lines) > 1:
        return {line: _cycled(i) for i, line in enumerate(lines)}
    base = {m: METHODS[_key(m)] for m in methods if _key(m) in METHODS}
    taken = {look.color for look in base.values()}
    free = [look for look in CYCLE if look.color not in taken] or CYCLE
    for i, method in enumerate(m for m in methods if m not in base):
        base[method] = free[i % len(free)]._replace(dashes=DASHES[i // len(free) % len(DASHES)])
    chosen = {}
    for method in methods:
        variants = [line for line in lines if line[0] == method]
        for i, line in enumerate(variants):
            chosen[line] = base[method]._replace(dashes=DASHES[i % len(DASHES)]) if i else base[method]
    return chosen


def sparse(count: int, position: int, total: int, wanted: int = 8) -> tuple[int, int]:
    """Return matplotlib's ``markevery``: about `wanted` markers on `count` points, staggered between lines."""
    step = max(1, round(count / wanted))
    return (position * step // max(total, 1)) % step, step


def _key(method: str) -> str:
    name = method.lower().replace("-", "_").replace(" ", "_")
    return ALIASES.get(name, name)


def _cycled(i: int) -> Look:
    return CYCLE[i % len(CYCLE)]._replace(dashes=DASHES[i // len(CYCLE) % len(DASHES)])
