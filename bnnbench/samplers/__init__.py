"""Stochastic-gradient samplers, each a ``torch.optim.Optimizer`` that works alone in any training loop.

One file per sampler, found by its name; SGD, RMSprop, Adam and the like are torch's own. The common convention
(potential Ū per datum, step size η, temperature T, number of data N):

    θ ← θ − η [G ∇Ū − (T/N) Γ] + √(2 η T G / N) ξ,    ξ ~ N(0, I)

In the papers' notation ε = 2η/N. T = 1 samples the posterior, T = 0 is the optimiser of the same drift.

What a rule is, it declares as attributes; nothing is guessed from its parameters:

    injects_noise   True for a sampler, which then has a ``temperature`` in every parameter group. Needed of every rule
                    whose constructor takes a temperature.
    needs_closure   (a property) whether ``step`` must be given the loss as a closure, to differentiate it itself
    backward_passes backward passes of one step, if not 1
    per_element     (a property) whether all but one of these are one for each element of the parameters
    caveat          (a property) a sentence for the run's notes: how the chain's law differs from the posterior whatever
                    the step; None if it does not
    preconditioner  (a method) parameter → G of the steps to come, of its shape, or None while G still moves with θ. A
                    rule that has it follows the equation above, and `bnnbench check` holds its chain to the exact law
    prepare         (a method) makes ready what steps need, before the clock of a run starts: compiled loops

The constructor's signature is the schema of the rule's options. Three parameters are supplied if it has them:
``num_data`` (N), ``weight_decay`` (the Gaussian prior) and ``noise`` (the run's source of standard normals).
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Find a sampler by its class among the files of this folder: nothing is registered."""
    if not name[:1].isupper():
        raise AttributeError(name)
    from torch.optim import Optimizer

    from bnnbench.config import plugins

    modules = [plugins.find("samplers", file) for file in plugins.names("samplers")]
    classes = {c.__name__: c for module in modules for c in plugins.classes_in(module, Optimizer)}
    if name in classes:
        return classes[name]
    raise AttributeError(f"bnnbench.samplers has no '{name}'; its samplers are {', '.join(classes)}")
