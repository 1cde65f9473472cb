"""Loops in torch alone, on data in memory: what a step costs at the least, and what careful lines of one's own cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnnbench.bench.timing import Advance
from bnnbench.data import Split

HIDDEN = (400, 400)
BATCH = 100
Step = Callable[[], object]  # an update from the gradients in place


def mlp(hidden: Sequence[int], train: Split, linear: Callable[[int, int], nn.Module] = nn.Linear) -> nn.Sequential:
    """Return a ReLU network of these widths for the shape of `train`, ten classes, its layers made by `linear`."""
    sizes = [train.x[0].numel(), *hidden]
    inner = [part for a, b in pairwise(sizes) for part in (linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *inner, linear(sizes[-1], 10)).to(train.x.device)


def bare_loop(
    train: Split,
    hidden: Sequence[int] = HIDDEN,
    batch: int = BATCH,
    update: Callable[[list[nn.Parameter]], torch.optim.Optimizer | Step | None] | None = None,
    *,
    network: nn.Module | None = None,
    penalty: Callable[[], Tensor] | None = None,
) -> Advance:
    """Return a function that makes so many steps with torch alone.

    Args:
        train: the data.
        hidden: widths, where no `network` is given.
        batch: data of a step.
        update: makes the update rule from the parameters; by default SGD. One that gives None: forward and backward
            alone.
        network: in place of a plain one.
        penalty: is added to the loss.
    """
    network = network or mlp(hidden, train)
    parameters = list(network.parameters())
    rule = sgd(train)(parameters) if update is None else update(parameters)
    make_step = rule.step if isinstance(rule, torch.optim.Optimizer) else rule
    order = torch.randperm(len(train)).to(train.x.device)
    at = 0

    def advance(count: int) -> None:
        nonlocal at
        for _ in range(count):
            index = order[at : at + batch]
            at = (at + batch) % (len(order) - batch)
            for p in parameters:
                p.grad = None
            loss = F.cross_entropy(network(train.x.index_select(0, index)), train.y.index_select(0, index))
            if penalty is not None:
                loss = loss + penalty()
            loss.backward()
            if make_step is not None:
                make_step()

    return advance


def sgd(train: Split, fused: bool | None = None) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """Return a maker of torch's SGD with the weight decay of the prior N(0, 1)."""
    return lambda parameters: torch.optim.SGD(parameters, lr=0.1, weight_decay=1 / len(train), fused=fused)


def adam(train: Split, lr: float = 1e-3) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """Return a maker of torch's fused Adam, as plain layers have it here."""
    return lambda parameters: torch.optim.Adam(parameters, lr=lr, weight_decay=1 / len(train), fused=True)


def careful_sgld(train: Split, lr: float = 0.1) -> Callable[[list[nn.Parameter]], Step]:
    """Return a maker of SGLD in the lines that a careful user writes."""
    decay, std = 1 / len(train), math.sqrt(2 * lr / len(train))

    def make(parameters: list[nn.Parameter]) -> Step:
        params: list[Tensor] = [*parameters]

        @torch.no_grad()
        def update() -> None:
            grads = [p.grad for p in params if p.grad is not None]
            torch._foreach_add_(grads, params, alpha=decay)
            torch._foreach_add_(params, grads, alpha=-lr)
            torch._foreach_add_(params, [torch.randn_like(p) for p in parameters], alpha=std)

        return update

    return make


def careful_psgld(train: Split, lr: float = 2.5e-4) -> Callable[[list[nn.Parameter]], Step]:
    """Return a maker of pSGLD, without Γ and with a V that moves, in the lines that a careful user writes."""
    decay, std, alpha, lambda_ = 1 / len(train), math.sqrt(2 * lr / len(train)), 0.99, 1e-4

    def make(parameters: list[nn.Parameter]) -> Step:
        v = [torch.zeros_like(p) for p in parameters]
        params: list[Tensor] = [*parameters]

        @torch.no_grad()
        def update() -> None:
            grads = [p.grad for p in params if p.grad is not None]
            torch._foreach_mul_(v, alpha)
            torch._foreach_addcmul_(v, grads, grads, value=1 - alpha)
            root = [*torch._foreach_sqrt(v)]
            torch._foreach_add_(root, lambda_)
            torch._foreach_add_(grads, params, alpha=decay)
            torch._foreach_addcdiv_(params, grads, root, value=-lr)
            torch._foreach_sqrt_(root)
            noise = [torch.randn_like(p) for p in parameters]
            torch._foreach_addcdiv_(params, noise, root, value=std)

        return update

    return make


class TwoProducts(nn.Module):
    """What any locally reparameterised layer does at the least: a product for the mean, one for the variance, a draw.

        out = x Wᵀ + b + √(x² Sᵀ) ξ,    ξ ~ N(0, I)

    S is a free parameter, so that there are no loops over the weights and no KL.

    Args:
        inputs, outputs: its sizes.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mean = nn.Linear(inputs, outputs)
        self.variance = nn.Parameter(torch.full((outputs, inputs), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs [B, outputs] for inputs x [B, inputs]."""
        mean, variance = self.mean(x), F.linear(x.square(), self.variance)
        return mean + variance.clamp_min(1e-8).sqrt() * torch.randn_like(mean)
