"""Stochastic and normalisation layers, and what turns a plain network into one that has them.

A stochastic layer is one file with one subclass of `StochasticLayer` (`base.py`): it takes over the parameters of an
nn.Linear or nn.Conv2d, and ``draw`` and ``mean`` return its pre-activations with fresh noise and without. A layer whose
weights have a posterior q has ``kl()``, its KL from the prior in nats, summed over weights; one with an α has
``current_log_alpha()``; one that drops weights has ``kept()``.

Every layer can be imported from here by its class, ``from bnnbench.layers import SparseVD``. `conversion` turns plain
networks into stochastic ones and back, `network` reads off the KL of a whole network, `sparsity` what can be dropped.
Hand-written gradients stand in `fused`.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Find a layer by its class among the files of this folder: nothing is registered."""
    if not name[:1].isupper():
        raise AttributeError(name)
    from bnnbench.layers.base import StochasticLayer
    from bnnbench.layers.from_config import layer_classes

    classes = {"StochasticLayer": StochasticLayer, **layer_classes()}
    if name in classes:
        return classes[name]
    raise AttributeError(f"bnnbench.layers has no '{name}'; its layers are {', '.join(classes)}")
