"""Figures of papers: one command runs what a figure needs, draws it and puts it into the README.

    python -m bnnbench.paper [NAME …]          # or: make figures FIG=NAME
    python -m bnnbench.paper [NAME …] --quick  # reduced budget, below results/quick
    python -m bnnbench.paper [NAME …] --draw   # redraw what is published, without torch

To add a figure, write one file, ``bnnbench/paper/NAME.py``, with ``FIGURE = Figure(...)``; it is found by its name.
(Files whose names begin with an underscore are not figures.) The fields of a `Figure`:

    title       shown above the drawing
    source      the paper, and which of its figures or tables
    cost        time and data that the full version needs, in words
    draw        (folder of the published data, title) → matplotlib's Figure. From CSV, YAML and JSON alone, never torch:
                `bnnbench.analysis.plots.curves.draw` does most of it
    sweeps      lists of overrides, each typed as after ``bnnbench run -m`` and run as one sweep
    quick       overrides appended to those of every sweep in the quick version
    published   the paper's numbers, each a `Value` with its source and a mark that tells how it is known
    note        what a reader of the figure must know, in Markdown
    table       (folder, published values) → Markdown; by default the last test scores of each line, with the published
                value of its method beside them
    compute     (folder, quick) → None: writes data that come from no run into the folder. It may import torch

`bnnbench ls figures` imports these modules too, so they import torch, numpy, pandas and matplotlib inside functions.
"""

from bnnbench.paper._figure import READ_OFF, RECALLED, SEEN, Figure, Value

__all__ = ["READ_OFF", "RECALLED", "SEEN", "Figure", "Value"]
