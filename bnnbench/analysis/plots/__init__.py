"""Figures from the folders of runs, without torch; matplotlib is imported only when something is drawn.

    curves    learning curves, `bnnbench plot`: panels (contents) → series (numbers) → labels, legend (words)
    sparsity  score and dropped weights against the threshold, `bnnbench sparsity`
    style     the one look: a colour and a marker per method, the formats, files without time stamps

Each kind of figure offers ``draw(…) → Figure``, which papers and tests use, and a function that saves the figure in
several formats and returns the files. The same runs give the same bytes.
"""

from bnnbench.analysis.plots.curves import plot_curves

__all__ = ["plot_curves"]
