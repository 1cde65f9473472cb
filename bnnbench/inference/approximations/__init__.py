"""Approximations of the posterior, from which predictions are made.

An approximation is one file with one subclass of `bnnbench.inference.approximations.base.Approximation`, found by its
name, ``method.predictive.name``; its options are the parameters of its constructor. The run shows it every iterate
(``observe``), hands it the predictions of those that are members (``add``), asks for the posterior mean at every
evaluation (``predict``), and keeps its state in the checkpoint.
"""
