"""Other packages at the same work, as far as they are installed: ``pip install 'bnnbench[peers]'``.

SGLD on 784-400-400-10, and mean-field VI with a draw of the weights on 784-300-100-10, each at the package's own way of
writing it, beside the same bare loops as ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnnbench.bench import layers
from bnnbench.bench.bare import BATCH, HIDDEN, adam, bare_loop, mlp
from bnnbench.bench.floors import PLAIN
from bnnbench.bench.loops import FULL_KL, LENET, MLP, loop_of, warm_up, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.steps import BARE
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Advance, alternate
from bnnbench.data import Split


def measure(setting: Setting) -> Iterator[Row]:
    """Measure those that are installed, and say which are not."""
    train = training_data(setting)
    samplers: dict[str, Advance] = {"bnnbench, SGLD": loop_of(setting, train, MLP, "method=sgld")}
    variational: dict[str, Advance] = {}
    absent = []
    for package, (kind, make) in PEERS.items():
        try:
            import_module(package)
        except Exception as error:  # one that does not fit this torch is as good as absent
            absent.append(package if isinstance(error, ModuleNotFoundError) else f"{package} ({type(error).__name__})")
            continue
        (samplers if kind == "SGLD" else variational)[f"{package.replace('_', '-')}, {kind}"] = make(train)
    if absent:
        print(f"  not installed, left out: {', '.join(absent)}", flush=True)
    single = "method.layers.estimator=single"
    for label, words in (("local reparameterisation", ()), ("one draw", (single,))):
        variational[f"bnnbench, mean-field VI, {label}"] = loop_of(
            setting, train, LENET, "method=mean_field", *FULL_KL, *words
        )
    samplers[BARE] = bare_loop(train)
    variational[PLAIN] = bare_loop(train, layers.HIDDEN, update=adam(train))
    for threads in setting.threads:
        for loops, against, hidden in ((samplers, BARE, HIDDEN), (variational, PLAIN, layers.HIDDEN)):
            warm_up(list(loops.values()), threads, setting.warm_up)
            blocks = alternate(loops, rounds=setting.rounds, block=setting.block, device=setting.device)
            yield from rows_of(blocks, setting.part, f"{widths(hidden)}, batch {BATCH}", threads, against)


def posteriors_sgld(train: Split) -> Advance:
    """Return SGLD of posteriors, on the log posterior per datum, as its documentation has it."""
    posteriors: Any = import_module("posteriors")
    network = mlp(HIDDEN, train)
    parameters = {name: p.detach().clone() for name, p in network.named_parameters()}

    def log_posterior(parameters: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = batch
        output = torch.func.functional_call(network, parameters, (x,))
        prior = posteriors.diag_normal_log_prob(parameters, normalize=False) / len(train)
        return prior - F.cross_entropy(output, y), output

    transform = posteriors.sgmcmc.sgld.build(log_posterior, lr=0.1, temperature=1 / len(train))
    state = transform.init(parameters)
    order, at = torch.randperm(len(train)).to(train.x.device), 0

    def advance(count: int) -> None:
        nonlocal state, at
        for _ in range(count):
            index = order[at : at + BATCH]
            at = (at + BATCH) % (len(order) - BATCH)
            batch = train.x.index_select(0, index), train.y.index_select(0, index)
            state, _ = transform.update(state, batch, inplace=True)

    return advance


def _variational(train: Split, linear: Callable[[int, int], nn.Module], kl: Callable[[nn.Module], Any]) -> Advance:
    """Return mean-field VI with a package's `linear` layer and `kl` of a network, under fused Adam."""
    network = mlp(layers.HIDDEN, train, linear)

    def update(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=1e-3, fused=True)

    return bare_loop(train, update=update, network=network, penalty=lambda: kl(network) / len(train))


def torchbnn_vi(train: Split) -> Advance:
    """Return mean-field VI of torchbnn."""
    bnn: Any = import_module("torchbnn")
    divergence = bnn.BKLLoss(reduction="sum")
    return _variational(train, lambda a, b: bnn.BayesLinear(0, math.exp(-3), a, b), divergence)


def bayesian_torch_vi(train: Split) -> Advance:
    """Return mean-field VI of bayesian-torch."""
    kinds: Any = import_module("bayesian_torch.layers")
    tools: Any = import_module("bayesian_torch.models.dnn_to_bnn")

    def linear(inputs: int, outputs: int) -> nn.Module:
        layer = kinds.LinearReparameterization(inputs, outputs)
        layer.dnn_to_bnn_flag = True  # the output alone, so that layers can follow one another
        return layer

    return _variational(train, linear, tools.get_kl_loss)


def torch_uncertainty_vi(train: Split) -> Advance:
    """Return mean-field VI of torch-uncertainty."""
    kinds: Any = import_module("torch_uncertainty.layers.bayesian")
    losses: Any = import_module("torch_uncertainty.losses")
    return _variational(train, kinds.BayesLinear, lambda network: losses.KLDiv(network)())


VI = "mean-field VI, one draw"
# The name to import → what is measured of it.
PEERS: dict[str, tuple[str, Callable[[Split], Advance]]] = {
    "posteriors": ("SGLD", posteriors_sgld),
    "torchbnn": (VI, torchbnn_vi),
    "bayesian_torch": (VI, bayesian_torch_vi),
    "torch_uncertainty": (VI, torch_uncertainty_vi),
}
