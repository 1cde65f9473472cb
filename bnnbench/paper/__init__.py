"""Figures of papers, each from its runs to its place in the README by one command.

    python -m bnnbench.paper [NAME …]          # or: make figures FIG=NAME
    python -m bnnbench.paper [NAME …] --quick  # reduced budget, below results/quick
    python -m bnnbench.paper [NAME …] --draw   # anew from what is published, without torch

To add a figure, write one file, ``bnnbench/paper/NAME.py``, that holds ``FIGURE = Figure(...)``; it is found by its
name. (Files that begin with an underscore are not figures.) What a `Figure` has:

    title       words above the drawing
    source      the paper, and which of its figures or tables
    cost        what the full version takes, in words, and which data
    draw        (folder of the published data, title) → matplotlib's Figure. From CSV, YAML and JSON alone, never torch:
                `bnnbench.analysis.plots.curves.draw` does most of it
    sweeps      override lists as typed behind ``bnnbench run -m``: one sweep each
    quick       overrides that follow those of every sweep in the quick version
    published   the paper's numbers, each a `Value` with its source and a mark of how it is known
    note        what must be read with the figure, in Markdown
    table       (folder, published values) → Markdown; by default last test scores of each line, with the published
                value of its method beside it
    compute     (folder, quick) → None: writes CSV that no run writes, below the folder. It may import torch

Imported by `bnnbench ls figures` too, so a module imports torch, numpy, pandas and matplotlib inside its functions.
"""

from bnnbench.paper._figure import READ_OFF, RECALLED, SEEN, Figure, Value

__all__ = ["READ_OFF", "RECALLED", "SEEN", "Figure", "Value"]
