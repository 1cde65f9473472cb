"""Figures from the folders of runs: CSV and YAML only, never torch; matplotlib is imported when something is drawn."""

from bnnbench.analysis.plots.curves import plot_curves

__all__ = ["plot_curves"]
