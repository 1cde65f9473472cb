"""Metrics beside those that a task records by itself: ``eval.metrics=[ace]``, or a dotted name of your own.

A metric is one file with one subclass of `bnnbench.tasks.metrics.base.Metric`: its `Measure` (name, words, unit,
direction), what it needs of the predictive distribution, and the formula. It has a column of its own in metrics.csv;
the manifest describes it, so that `compare`, `plot` and `tune --metric` know it.
"""
