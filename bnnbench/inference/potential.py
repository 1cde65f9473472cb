"""The potential Ū(θ): the one place where N, the prior and the likelihood are scaled.

    Ū(θ) = (1/N) [ −Σ_n log p(y_n | x_n, θ) − log p(θ) ]

estimated on a minibatch by the MEAN negative log-likelihood plus −log p(θ)/N. A Gaussian prior N(0, s²) has the
gradient θ/(N s²) and is passed to the update rule as torch's `weight_decay` = 1/(N s²): MAP is weight decay, and pSGLD
can keep it out of V. Any other prior is part of the loss, and so is that of the likelihood's own parameters (the noise
level of a regression), N(0, s²) with an s of theirs: they are no weights.

A network with a variational posterior q has a KL in place of the prior of the weights that q covers:

    loss = mean NLL + β_t KL(q ‖ p) / N

KL is a SUM over weights and is divided by N here, once; so its gradient does not depend on the batch size. This is the
negative evidence lower bound per datum (Kingma et al. 2015, eqs. 2 and 3).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bnnbench.inference.chains import Chains
from bnnbench.layers.joint_kl import joint_kl
from bnnbench.layers.network import covered_by_kl, likelihood_std, parameter_kinds
from bnnbench.priors.base import Prior
from bnnbench.tasks.base import Task

if TYPE_CHECKING:
    from bnnbench.config.schema import KL


class Potential:
    """The minibatch estimate of Ū for every chain, and the parameter groups that carry prior and noise.

    Args:
        chains: the networks.
        task: gives the mean negative log-likelihood from outputs and targets.
        prior: p(θ) of one parameter.
        prior_on: kinds of parameters that have this prior: weight, bias, norm.
        num_data: N.
    """

    def __init__(self, chains: Chains, task: Task, prior: Prior, prior_on: Collection[str], num_data: int) -> None:
        self.chains, self.task, self.prior, self.num_data = chains, task, prior, num_data
        self.kinds = parameter_kinds(chains.network)
        covered = covered_by_kl(chains.network)
        self.has_kl = bool(covered)
        self.has_prior = {name for name, kind in self.kinds.items() if kind in prior_on and name not in covered}
        self._decay = prior.weight_decay(num_data)
        self._in_loss = {
            name: chains.parameters[name] for name in self.kinds if self._decay is None and name in self.has_prior
        }

        self._of_likelihood = {
            name: (chains.parameters[name], std) for name, std in likelihood_std(chains.network).items()
        }

    def __call__(self, x: Tensor, y: Tensor, beta: float = 1.0) -> Tensor:
        """Return the loss of every chain [K], for minibatches x [K, B, …], targets y [K, B] and the KL's weight β_t.

        Its gradient is ∇Ū without a Gaussian prior, which `groups` passes to the update rule.
        """
        with joint_kl():
            outputs = self.chains(x)
            divergence = self.chains.kl() if self.has_kl and beta else None
        loss = self.task.loss(outputs, y)
        if self._in_loss:
            log_density = self.prior.log_density(self.chains.with_axis(self._in_loss))
            loss = loss - log_density / self.num_data
        for name, (parameter, std) in self._of_likelihood.items():
            value = self.chains.with_axis({name: parameter})[name]
            loss = loss + (value / std).square().reshape(len(value), -1).sum(1) / (2 * self.num_data)
        if divergence is not None:
            loss = loss + (beta / self.num_data) * divergence
        return loss

    def groups(self, noise_on: Collection[str], temperature: float | None) -> list[dict[str, Any]]:
        """Return torch parameter groups, one for each kind of parameter that differs in prior or noise; none frozen.

        Args:
            noise_on: kinds of parameters (weight, bias, norm, likelihood) that get the sampler's noise.
            temperature: T for a sampler; None for an optimiser, which has no such setting.
        """
        groups: dict[tuple[bool, bool], dict[str, Any]] = {}
        for name, parameter in self.chains.parameters.items():
            if not parameter.requires_grad:
                continue
            has_decay = bool(self._decay) and name in self.has_prior
            gets_noise = temperature is not None and self.kinds[name] in noise_on
            key = (has_decay, gets_noise)
            if key not in groups:
                groups[key] = {"params": [], "weight_decay": self._decay if has_decay else 0.0}
                if temperature is not None:
                    groups[key]["temperature"] = temperature if gets_noise else 0.0
            groups[key]["params"].append(parameter)
        return list(groups.values())


def kl_weight(kl: KL, epoch: float) -> float:
    """Return β_t: 0 to epoch a, then linear up to epoch b, the constant `kl.scale` from there on.

    With full weight from the start the KL pushes all weights to the prior before the data act (Sønderby et al. 2016;
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
