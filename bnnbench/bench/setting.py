"""What all parts of the bench are told: the data, the device, the threads, how long to measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bnnbench.config.composition import compose
from bnnbench.data import Split, load_data
from bnnbench.errors import ConfigError, DataError
from bnnbench.experiment.assembly import check, task_of
from bnnbench.experiment.cores import usable_cores

MNIST = ("dataset=mnist",)
NOISE = ("dataset=mnist", "dataset.name=bnnbench.data._noise_images")
DATA = {"mnist": MNIST, "noise": NOISE}


@dataclass(frozen=True)
class Setting:
    """How to measure.

    Attributes:
        data: overrides that choose the dataset: MNIST, or noise of its shape.
        device: where steps are made.
        threads: CPU threads of torch, each measured by itself.
        rounds: of alternating blocks, at least 2.
        quick: whether only the code is to be tried out: blocks of two steps, small sizes.
        part: the name of the part that is measured.
    """

    data: tuple[str, ...]
    device: torch.device
    threads: tuple[int, ...]
    rounds: int
    quick: bool = False
    part: str = ""

    @property
    def block(self) -> int:
        """Steps between two readings of the clock, all chains counted."""
        return 2 if self.quick else 20

    @property
    def warm_up(self) -> int:
        """Steps before the first reading: first calls allocate, loops are compiled, V is held after."""
        return 4 if self.quick else 100

    @property
    def repeats(self) -> int:
        """Rounds of what takes seconds."""
        return 2 if self.quick else max(2, min(3, self.rounds // 3))


def parse_threads(words: str | None) -> tuple[int, ...]:
    """Return the numbers of threads in `words`, such as ``1,2``; by default 1 and 2, as far as there are cores.

    Raises:
        ConfigError: one is no positive number, or more than there are cores.
    """
    cores = usable_cores()
    if words is None:
        return tuple(n for n in (1, 2) if n <= cores)
    numbers = []
    for word in words.split(","):
        if not (word.strip().isascii() and word.strip().isdigit()) or not int(word):
            raise ConfigError(f"--threads {words}: '{word}' is no number of threads. Give one or several, as 1,2.")
        if int(word) > cores:
            raise ConfigError(f"--threads {words}: this process may use {cores} core{'s' * (cores > 1)}, no more.")
        numbers.append(int(word))
    return tuple(dict.fromkeys(numbers))


def training_data(setting: Setting) -> Split:
    """Return the training data on the setting's device.

    Raises:
        DataError: they are not here; the message says how to get them, or to do without.
    """
    config = check(compose([*setting.data, "method=sgd"]))
    try:
        data = load_data(config.dataset, targets=task_of(config), root=config.data.root, seed=0, device=setting.device)
    except DataError as error:
        said = " ".join(str(error).split())
        raise DataError(f"{said} Or time noise of its shape: --data noise.") from None
    return data.train
