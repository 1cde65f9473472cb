"""The potential Ū(θ): the one place where N, the prior and the likelihood are scaled.

    Ū(θ) = (1/N) [ −Σ_n log p(y_n | x_n, θ) − log p(θ) ]

estimated on a minibatch by the MEAN negative log-likelihood plus −log p(θ)/N. A Gaussian prior N(0, s²) has the
gradient θ/(N s²) and goes to the update rule as torch's `weight_decay` = 1/(N s²), so that MAP is seen to be weight
decay and pSGLD can keep it out of V; any other prior is part of the loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bnnbench.chains import Chains
from bnnbench.layers.normalisation import parameter_kinds

if TYPE_CHECKING:
    from bnnbench.config import Prior
    from bnnbench.likelihood import Likelihood


class Potential:
    """The minibatch estimate of Ū for every chain, and the parameter groups that carry prior and noise.

    Args:
        chains: the networks.
        likelihood: gives the mean negative log-likelihood from outputs and labels.
        prior: family, variance s² (Laplace: b = s/√2, the same variance) and which kinds of parameters carry it.
        num_data: N.
    """

    def __init__(self, chains: Chains, likelihood: Likelihood, prior: Prior, num_data: int) -> None:
        self.chains, self.likelihood, self.prior, self.num_data = chains, likelihood, prior, num_data
        self.kinds = parameter_kinds(chains.network)
        carries = {"weight": True, "bias": prior.biases, "norm": prior.norm}
        self._laplace = [
            p for name, p in chains.parameters.items() if prior.name == "laplace" and carries[self.kinds[name]]
        ]
        self._gaussian = {kind: prior.name == "gaussian" and carries[kind] for kind in carries}

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of every chain [K], for minibatches x [K, B, …] and labels y [K, B].

        Its gradient is ∇Ū without the Gaussian prior, which `groups` hands to the update rule.
        """
        outputs = self.chains(x)
        if self.chains.count == 1:  # without the axis the likelihood is one fused kernel
            nll = self.likelihood.nll(outputs[0], y[0]).unsqueeze(0)
        else:
            nll = self.likelihood.nll(outputs, y)
        if self._laplace:
            scale = (self.prior.variance / 2) ** 0.5
            norm = torch.stack([p.abs().reshape(self.chains.count, -1).sum(1) for p in self._laplace]).sum(0)
            nll = nll + norm / (scale * self.num_data)
        return nll

    def groups(self, noise: Mapping[str, bool], temperature: float | None) -> list[dict[str, Any]]:
        """Return torch parameter groups, one for each kind of parameter that differs in prior or noise.

        Args:
            noise: parameter kind (weight, bias, norm) → whether the sampler's noise reaches it.
            temperature: T for a sampler; None for an optimiser, which has no such setting.
        """
        groups: dict[tuple[bool, bool], dict[str, Any]] = {}
        for name, parameter in self.chains.parameters.items():
            kind = self.kinds[name]
            key = (self._gaussian[kind], noise[kind])
            if key not in groups:
                decay = 1 / (self.num_data * self.prior.variance) if self._gaussian[kind] else 0.0
                groups[key] = {"params": [], "weight_decay": decay}
                if temperature is not None:
                    groups[key]["temperature"] = temperature if noise[kind] else 0.0
            groups[key]["params"].append(parameter)
        return list(groups.values())
