"""The data of each step: a function of (seed, chain, iteration), so that a run can be continued anywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnbench.data import Split
from bnnbench.errors import ConfigError
from bnnbench.inference.random import derive_seed


class Minibatches:
    """Minibatches x [K, B, …], y [K, B] by iteration, from tensors that are already on the device.

    Shuffled: each chain draws a new permutation every ⌊N/B⌋ iterations, whose last N mod B data are skipped. An epoch
    is N data, N/B iterations, all the same.
    In file order: all chains see data tB … tB + B − 1 modulo N at iteration t.

    Args:
        split: the training data.
        batch_size: B.
        chains: K.
        seed: the run's base seed.
        shuffle: see above.

    Raises:
        ConfigError: B > N.
    """

    def __init__(self, split: Split, batch_size: int, chains: int, seed: int, shuffle: bool) -> None:
        self.steps_per_epoch = steps_per_epoch(len(split), batch_size)
        self.steps_per_order = len(split) // batch_size
        self.split, self.batch_size, self.chains, self.seed, self.shuffle = split, batch_size, chains, seed, shuffle
        self._number = -1
        self._order: Tensor | None = None  # [K, N]

    def __call__(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return the minibatch of every chain at the 0-based `iteration`."""
        x, y, size = self.split.x, self.split.y, self.batch_size
        if not self.shuffle:
            start = iteration * size % len(self.split)
            if start + size <= len(self.split):
                batch_x, batch_y = x[start : start + size], y[start : start + size]
            else:
                batch_x = torch.cat([x[start:], x[: start + size - len(self.split)]])
                batch_y = torch.cat([y[start:], y[: start + size - len(self.split)]])
            return batch_x.expand(self.chains, *batch_x.shape), batch_y.expand(self.chains, size)
        number, step = divmod(iteration, self.steps_per_order)
        if number != self._number or self._order is None:
            self._order, self._number = self._permutations(number), number
        index = self._order[:, step * size : (step + 1) * size].reshape(-1)
        shape = (self.chains, size)
        return x.index_select(0, index).view(*shape, *x.shape[1:]), y.index_select(0, index).view(shape)

    def _permutations(self, number: int) -> Tensor:
        """Return the next permutation of each chain [K, N], drawn on the CPU: the same on every device."""
        rows = []
        for chain in range(self.chains):
            generator = torch.Generator().manual_seed(derive_seed(self.seed, chain, "data", number))
            rows.append(torch.randperm(len(self.split), generator=generator))
        return torch.stack(rows).to(self.split.x.device)


def steps_per_epoch(num_data: int, batch_size: int) -> float:
    """Return the iterations in which N data are seen, N/B; a whole number or not.

    Raises:
        ConfigError: B > N.
    """
    if batch_size > num_data:
        raise ConfigError(
            f"batch_size={batch_size} is more than the {num_data} training data. Take at most {num_data}."
        )
    return num_data / batch_size
