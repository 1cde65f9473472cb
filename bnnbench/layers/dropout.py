"""Bernoulli dropout in front of a dense or convolutional layer (Hinton et al. 2012; Srivastava et al. 2014)."""

from __future__ import annotations

from torch import Tensor, nn

from bnnbench.layers.base import StochasticLayer, check_keep
from bnnbench.layers.noise import retained


class Dropout(StochasticLayer):
    """y = W (x ⊙ m / p) + b with m_i ~ Bernoulli(p), drawn anew for every datum and element of x.

    Division by p keeps the mean, E[y] = W x + b, so evaluation uses the weights as they are. The noise m/p has variance
    α = (1 − p)/p, as in Gaussian dropout. On images every element of the input is dropped independently.

    With ``sample=True`` evaluation draws masks too: Monte Carlo dropout (Gal & Ghahramani 2016).

    Args:
        layer: nn.Linear or nn.Conv2d, whose parameters are taken over.
        keep: p, the probability to RETAIN an element, in (0, 1]; 0.5 for hidden layers and 0.8 for inputs are
            customary. (torch's argument is the probability to drop.)
        sample: None follows the mode; True draws in evaluation as well; False never draws.

    Raises:
        ValueError: `keep` out of range; `layer` of another kind.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, keep: float = 0.5, sample: bool | None = None) -> None:
        super().__init__(layer, sample)
        check_keep(keep)
        self.keep = keep

    def draw(self, x: Tensor) -> Tensor:
        """Return pre-activations under fresh masks."""
        return self.affine(x * retained(x, self.keep), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes and the retain probability."""
        return f"{super().extra_repr()}, keep={self.keep}"
