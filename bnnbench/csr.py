"""Compressed sparse rows of an exported network; the functions are those of `bnnbench.deploy.csr`."""

from bnnbench.deploy.csr import from_csr, to_csr

__all__ = ["from_csr", "to_csr"]
