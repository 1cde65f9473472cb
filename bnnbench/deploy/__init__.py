"""Uses of a trained posterior.

`trained` rebuilds a run from its folder. `export` writes its network as a plain one, dense or pruned (`csr`), and
checks the files against the run; `sparsity_curve` measures the cost of pruning.
"""
