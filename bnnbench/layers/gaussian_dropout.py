"""Gaussian dropout: multiplicative Gaussian noise with the variance of Bernoulli dropout."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from bnnbench.layers.base import StochasticLayer, check_choice, check_keep
from bnnbench.layers.fused.normal import normal
from bnnbench.layers.noise import standard_normal


class GaussianDropout(StochasticLayer):
    """Gaussian noise of relative variance α = (1 − p)/p, p the retain probability, on inputs or pre-activations.

    Type A (Srivastava et al. 2014, section 10):    y = W (x ⊙ ξ) + b,  ξ_i ~ N(1, α) for every datum and element.
    Type B (Wang & Manning 2013, the Gaussian limit of dropout's pre-activation):

        y_j ~ N(γ_j, δ_j),  γ_j = Σ_i W_ji x_i + b_j,  δ_j = α Σ_i W_ji² x_i²,  independent over j.

    Mean and variance of every y_j are the same for both and for Bernoulli dropout. In A the outputs of a datum share ξ
    and are correlated; B is independent noise on every weight, w ~ N(W, αW²), summed analytically (for a convolution
    this is the marginal law of each position).

    Args:
        layer: nn.Linear or nn.Conv2d, whose parameters are taken over.
        keep: p, the retain probability, in (0, 1]; 0.5 gives α = 1, 0.8 gives α = 0.25.
        kind: ``A`` or ``B``.
        sample: None follows the mode; True draws in evaluation as well; False never draws.

    Raises:
        ValueError: `keep` or `kind` out of range; `layer` of another kind.
    """

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        keep: float = 0.5,
        kind: Literal["A", "B"] = "A",
        sample: bool | None = None,
    ) -> None:
        super().__init__(layer, sample)
        check_keep(keep)
        check_choice("kind", kind, ("A", "B"))
        self.keep, self.kind = keep, kind

    @property
    def alpha(self) -> float:
        """α = (1 − p)/p."""
        return (1 - self.keep) / self.keep

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return γ and δ, mean and variance of the pre-activations, in the shape of the output."""
        return self.mean(x), self.alpha * self.affine(x.square(), self.weight.square(), None)

    def draw(self, x: Tensor) -> Tensor:
        """Return pre-activations with fresh noise."""
        if self.kind == "B":
            return normal(*self.moments(x))
        xi = 1 + self.alpha**0.5 * standard_normal(x)
        return self.affine(x * xi, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes, the retain probability and the type."""
        return f"{super().extra_repr()}, keep={self.keep}, kind={self.kind}"
