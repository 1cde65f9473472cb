"""What a network's outputs mean: the likelihood p(y | x, θ) of one datum.

Both classes have the same interface, so that nothing else asks which task is being solved:
    outputs    how wide the network's last layer is built
    wrap       adds what the likelihood itself has to learn
    nll        mean negative log-likelihood per datum, in nats, differentiable any number of times
    predict    outputs → parameters of the predictive distribution of one member
Leading axes (chains, members) pass through all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnnbench.errors import ConfigError, did_you_mean

MIN_VARIANCE = 1e-6  # of a target scaled to variance 1; Lakshminarayanan et al. 2017, section 2.2.1
HEADS = {"classification": ("softmax",), "regression": ("homoscedastic", "heteroscedastic")}


@dataclass(frozen=True)
class Softmax:
    """p(y = c | x, θ) = exp f_c / Σ_k exp f_k."""

    num_classes: int

    @property
    def outputs(self) -> int:
        """One logit per class."""
        return self.num_classes

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return `network` itself."""
        return network

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return −(1/B) Σ_b log p(y_b | x_b, θ): logits [..., B, C], int64 labels [..., B] or [B] → [...]."""
        if outputs.dim() == 2:  # one chain: one fused kernel
            return F.cross_entropy(outputs, y)
        shape = outputs.shape[:-1]
        losses = F.cross_entropy(outputs.flatten(0, -2), y.expand(shape).reshape(-1), reduction="none")
        return losses.view(shape).mean(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the class probabilities, [..., B, C] → [..., B, C]."""
        return outputs.softmax(-1)


@dataclass(frozen=True)
class Gaussian:
    """p(y | x, θ) = N(y; μ, v) with v = softplus(ρ) + 1e-6; Lakshminarayanan et al. 2017, eq. 1.

    heteroscedastic: the network has the outputs (μ, ρ) for each x. Otherwise it has μ alone and `wrap` adds one learned
    ρ for all x. Either way `nll` and `predict` receive [..., B, 2].
    """

    heteroscedastic: bool

    @property
    def outputs(self) -> int:
        """The mean, and ρ where it depends on x."""
        return 2 if self.heteroscedastic else 1

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return `network`, with the shared ρ appended to its output where the noise does not depend on x."""
        return network if self.heteroscedastic else SharedVariance(network)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return (1/B) Σ_b ½[log 2πv_b + (y_b − μ_b)²/v_b]: outputs [..., B, 2], y [..., B] or [B] → [...]."""
        mean, rho = outputs.unbind(-1)
        variance = F.softplus(rho) + MIN_VARIANCE
        y = y.expand(mean.shape)  # a y of [B, 1] is an error here; broadcast, it would make a wrong [B, B]
        return 0.5 * (math.log(2 * math.pi) + variance.log() + (y - mean) ** 2 / variance).mean(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """Return (μ, v) stacked, [..., B, 2] → [..., B, 2]; v is a variance, in squared units of y."""
        mean, rho = outputs.unbind(-1)
        return torch.stack([mean, F.softplus(rho) + MIN_VARIANCE], dim=-1)


class SharedVariance(nn.Module):
    """A network of one output, with one learned ρ, the same for all x, as second output: [B, ...] → [B, 2].

    ρ carries prior and noise like a weight.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.rho = nn.Parameter(torch.tensor([math.log(math.e - 1)]))  # variance 1, that of a standardised target

    def forward(self, x: Tensor) -> Tensor:
        mean = self.network(x)  # [B, 1]
        return torch.cat([mean, self.rho.expand_as(mean)], dim=-1)


Likelihood = Softmax | Gaussian


def likelihood_for(
    task: Literal["classification", "regression"],
    num_classes: int | None,
    head: Literal["auto", "softmax", "homoscedastic", "heteroscedastic"] = "auto",
) -> Likelihood:
    """Return the likelihood `head` of a task; ``auto`` is softmax for classes, homoscedastic Gaussian for regression.

    Args:
        num_classes: of a classification task; not looked at for regression.

    Raises:
        ConfigError: unknown task or head, a head that does not fit the task, or fewer than two classes.
    """
    if task not in HEADS:
        raise ConfigError(f"dataset.task={task}: no such task.{did_you_mean(str(task), HEADS)}")
    known = ["auto", *(h for heads in HEADS.values() for h in heads)]
    if head not in known:
        raise ConfigError(f"head={head}: no such likelihood.{did_you_mean(str(head), known)}")
    head = HEADS[task][0] if head == "auto" else head
    if head not in HEADS[task]:
        raise ConfigError(f"head={head} does not fit {task}. Take head={' or head='.join(HEADS[task])}, or head=auto.")
    if task == "regression":
        return Gaussian(heteroscedastic=head == "heteroscedastic")
    if num_classes is None or num_classes < 2:
        raise ConfigError(f"classification needs two classes or more, the dataset says {num_classes}.")
    return Softmax(num_classes)
