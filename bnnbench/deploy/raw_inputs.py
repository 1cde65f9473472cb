"""An exported network that takes the dataset's own rows and answers in the target's own units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.data.loading.preprocess import Preprocess

NAMES = ("mean", "std")


class OnRawInputs(nn.Module):
    """Preprocessing, network and the units of the target in one: x ↦ units(f((x / divide − mean) / std)).

    Args:
        network: f, of prepared inputs.
        prepare: the preprocessing of the run.
        in_shape: shape of one input.
        units: from f's output to the target's units; see `bnnbench.tasks.base.Task.in_own_units`.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self, network: nn.Module, prepare: Preprocess, in_shape: Sequence[int], units: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.network, self.divide, self.in_shape, self.units = network, prepare.divide, tuple(in_shape), units
        for name in NAMES:
            self.register_buffer(name, getattr(prepare, name))

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction for `x` [n, *in_shape], rows as the dataset's ``load`` returns them.

        Raises:
            ValueError: another shape.
        """
        if tuple(x.shape[1:]) != self.in_shape:
            raise ValueError(f"inputs of shape {list(x.shape)}; this network takes [n, {str(list(self.in_shape))[1:]}")
        return self.units(self.network(Preprocess(self.divide, self.mean, self.std)(x)))


def describe(prepare: Preprocess) -> dict[str, Any]:
    """Return the preprocessing as words and numbers, exactly."""
    values = {name: getattr(prepare, name) for name in NAMES}
    dtype = next((str(v.dtype).removeprefix("torch.") for v in values.values() if v is not None), None)
    return {
        "divide": prepare.divide,
        "dtype": dtype,
        **{k: None if v is None else v.tolist() for k, v in values.items()},
    }


def described(inputs: Mapping[str, Any], in_shape: Sequence[int]) -> Preprocess:
    """Return what `describe` described.

    Raises:
        KeyError, TypeError, ValueError: it is no such description, or one of inputs of another shape.
    """
    dtype = {"float32": torch.float32, "float64": torch.float64, None: None}[inputs["dtype"]]
    values = {k: None if inputs[k] is None else torch.tensor(inputs[k], dtype=dtype) for k in NAMES}
    if any(v is not None and tuple(v.shape) != tuple(in_shape) for v in values.values()):
        raise ValueError("statistics of another shape than the inputs")
    return Preprocess(float(inputs["divide"]), **values)
