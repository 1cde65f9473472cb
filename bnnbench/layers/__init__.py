"""Stochastic and normalisation layers, and the conversion of plain networks.

A layer is one file with one subclass of `StochasticLayer`; nothing is registered. It takes over the parameters of an
nn.Linear or nn.Conv2d and overrides ``draw(x)``, pre-activations with fresh noise, and ``mean(x)``, those without.
Further abilities are structural protocols of `base`, which any nn.Module may satisfy: `HasKL`, ``kl()`` from the prior
in nats, summed over weights; `HasAlpha`, ``current_log_alpha()``; `Prunable`, ``kept()``; `Thresholded`, pruning by a
threshold on log α.

Layers are imported by class name, ``from bnnbench.layers import SparseVD``. `conversion` makes a plain network
stochastic and back, `network` reads the KL of a whole network, `sparsity` counts and prunes weights, `from_config`
serves `method.layers`. The layers show the formulas; `fused` holds faster versions with hand-written gradients.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Return a layer by its class name, searching the files of this folder."""
    if not name[:1].isupper():
        raise AttributeError(name)
    from bnnbench.layers.base import StochasticLayer
    from bnnbench.layers.from_config import layer_classes

    classes = {"StochasticLayer": StochasticLayer, **layer_classes()}
    if name in classes:
        return classes[name]
    raise AttributeError(f"bnnbench.layers has no '{name}'; its layers are {', '.join(classes)}")
