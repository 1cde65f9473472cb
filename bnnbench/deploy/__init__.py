"""A trained posterior put to use.

`trained` reads a run back from its folder, with the parts it was made of. `export` writes its network as a plain one,
dense or pruned (`csr`), and checks the files against the run; `sparsity_curve` measures what pruning costs.
"""
