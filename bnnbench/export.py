"""Exported networks: ``bnnbench.export.load_network(file)``. See `bnnbench.deploy.export`."""

from bnnbench.deploy.export import Exported, export, load_network

__all__ = ["Exported", "export", "load_network"]
