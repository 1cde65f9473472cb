"""The potential Ū(θ): the one place where N, the prior and the likelihood are scaled.

    Ū(θ) = (1/N) [ −Σ_n log p(y_n | x_n, θ) − log p(θ) ]

estimated on a minibatch by the MEAN negative log-likelihood plus −log p(θ)/N. A Gaussian prior N(0, s²) has the
gradient θ/(N s²) and goes to the update rule as torch's `weight_decay` = 1/(N s²), so that MAP is seen to be weight
decay and pSGLD can keep it out of V; any other prior is part of the loss.

A network with a variational posterior q has a KL in place of the prior of the weights that q covers:

    loss = mean NLL + β_t KL(q ‖ p) / N

KL is a SUM over weights and is divided by N here, once; so its gradient does not depend on the batch size. This is the
negative evidence lower bound per datum (Kingma et al. 2015, eqs. 2 and 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bnnbench.inference.chains import Chains
from bnnbench.layers.joint_kl import joint_kl
from bnnbench.layers.network import covered_by_kl, parameter_kinds

if TYPE_CHECKING:
    from bnnbench.config.schema import KL, Prior
    from bnnbench.tasks.likelihood import Likelihood


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
        carries = {"weight": True, "bias": prior.biases, "norm": prior.norm, "variational": False}
        covered = covered_by_kl(chains.network)
        self.has_kl = bool(covered)
        bearers = {name for name, kind in self.kinds.items() if carries[kind] and name not in covered}
        self._laplace = [chains.parameters[name] for name in self.kinds if prior.name == "laplace" and name in bearers]
        self._gaussian = bearers if prior.name == "gaussian" else set()

    def __call__(self, x: Tensor, y: Tensor, beta: float = 1.0) -> Tensor:
        """Return the loss of every chain [K], for minibatches x [K, B, …], labels y [K, B] and the KL's weight β_t.

        Its gradient is ∇Ū without the Gaussian prior, which `groups` hands to the update rule.
        """
        with joint_kl():
            outputs = self.chains(x)
            divergence = self.chains.kl() if self.has_kl and beta else None
        if self.chains.count == 1:  # without the axis the likelihood is one fused kernel
            nll = self.likelihood.nll(outputs[0], y[0]).unsqueeze(0)
        else:
            nll = self.likelihood.nll(outputs, y)
        if self._laplace:
            scale = (self.prior.variance / 2) ** 0.5
            norm = torch.stack([p.abs().reshape(self.chains.count, -1).sum(1) for p in self._laplace]).sum(0)
            nll = nll + norm / (scale * self.num_data)
        if divergence is not None:
            nll = nll + (beta / self.num_data) * divergence
        return nll

    def groups(self, noise: Mapping[str, bool], temperature: float | None) -> list[dict[str, Any]]:
        """Return torch parameter groups, one for each kind of parameter that differs in prior or noise.

        Args:
            noise: parameter kind (weight, bias, norm, variational) → whether the sampler's noise reaches it.
            temperature: T for a sampler; None for an optimiser, which has no such setting.
        """
        groups: dict[tuple[bool, bool], dict[str, Any]] = {}
        for name, parameter in self.chains.parameters.items():
            kind = self.kinds[name]
            key = (name in self._gaussian, temperature is not None and noise[kind])
            if key not in groups:
                decay = 1 / (self.num_data * self.prior.variance) if name in self._gaussian else 0.0
                groups[key] = {"params": [], "weight_decay": decay}
                if temperature is not None:
                    groups[key]["temperature"] = temperature if noise[kind] else 0.0
            groups[key]["params"].append(parameter)
        return list(groups.values())


def kl_weight(kl: KL, epoch: float) -> float:
    """Return β_t: 0 to epoch a, then linear up to epoch b, the constant `kl.scale` from there on.

    A KL that is full from the start pushes all weights to the prior before the data had a say (Sønderby et al. 2016;
    the released code of Molchanov et al. 2017 has a = 5, b = 20).

    Args:
        kl: scale, a = `zero_until` and b = `full_from`.
        epoch: passes over the training split made so far.
    """
    if epoch >= kl.full_from:
        return kl.scale
    if epoch <= kl.zero_until:
        return 0.0
    return kl.scale * (epoch - kl.zero_until) / (kl.full_from - kl.zero_until)
