"""Watches loss and parameters for values that are not finite, without synchronising with the host at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bnnbench.errors import DivergedError
from bnnbench.inference.chains import Chains

WINDOW = 50  # steps between checks; each waits for the device once


class DivergenceGuard:
    """Keeps the losses of the last steps on the device and checks them every `WINDOW` steps.

    Args:
        chains: the networks, for the names of their tensors.
        device: where the losses are.
    """

    def __init__(self, chains: Chains, device: torch.device) -> None:
        self.chains, self.device = chains, device
        self._losses: list[Tensor] = []  # of each step [K], where they were computed: a step does not wait for them
        self._lr: list[float] = []
        self._sum = torch.zeros(chains.count, dtype=torch.float64)
        self._count = 0

    def add(self, loss: Tensor, lr: float) -> bool:
        """Store the loss [K] of one step; return whether it is time to `check`."""
        self._losses.append(loss)
        self._lr.append(lr)
        return len(self._losses) == WINDOW

    def check(self, iteration: int) -> None:
        """Check the losses stored; `iteration` is the number of steps made.

        Raises:
            DivergedError: names the first step whose loss is not finite, its chain, step size and a tensor at fault.
        """
        losses = self._stacked().double().cpu()
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            row, chain = bad[0].tolist()
            step = iteration - len(losses) + row + 1
            self._stop(f"the loss became {losses[row, chain].item()}", step, chain, self._lr[row])
        self._sum += losses.sum(0)
        self._count += len(losses)
        last = self._lr[-1] if self._lr else math.nan
        self._losses, self._lr = [], []
        # The parameters after the last step have not entered a loss yet.
        norms = torch.stack([n.double() for n in torch._foreach_norm([p.detach() for p in self._parameters()])])
        if not norms.isfinite().all().item():  # or a norm beyond single precision
            finite = all(p.isfinite().all().item() for p in self._parameters())
            what = "parameters grew beyond 1e19" if finite else "a parameter stopped being finite"
            self._stop(what, iteration, None, last)

    def mean(self) -> list[float]:
        """Return the mean loss of each chain since the last call, and reset."""
        mean = (self._sum / self._count).tolist() if self._count else [math.nan] * self.chains.count
        self._sum.zero_()
        self._count = 0
        return mean

    def state_dict(self) -> dict[str, Any]:
        """Return the losses since the last call of `mean`."""
        return {"kept": self._stacked().cpu(), "lr": list(self._lr), "sum": self._sum.clone(), "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self._losses, self._lr = list(state["kept"].to(self.device)), list(state["lr"])
        self._sum.copy_(state["sum"])
        self._count = state["count"]

    def _stacked(self) -> Tensor:
        """Return the losses of the steps since the last check [steps, K]."""
        return torch.stack(self._losses) if self._losses else torch.zeros(0, self.chains.count, device=self.device)

    def _parameters(self) -> list[Tensor]:
        return list(self.chains.parameters.values())

    def _stop(self, what: str, iteration: int, chain: int | None, lr: float) -> None:
        names = [name for name, p in self.chains.parameters.items() if not p.isfinite().all().item()]
        tensor = f"first tensor not finite: {names[0]}" if names else "all parameters are finite"
        where = f" of chain {chain}" if chain is not None and self.chains.count > 1 else ""
        raise DivergedError(
            f"{what}{where} at iteration {iteration}; {tensor}; lr {lr:g}. Take a smaller method.optimizer.lr."
        )
