"""Three epochs of pSGLD on MNIST, evaluated on the way, beside scripts that a careful user would write for them.

The scripts keep the posterior mean of the test predictions, as the run does. They have no checkpoints, no record and no
calibration, and know this one method on this one network.
"""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms.functional import to_tensor

from bnnbench.bench.bare import BATCH, HIDDEN, careful_psgld, mlp
from bnnbench.bench.loops import MLP, widths
from bnnbench.bench.setting import Setting, training_data
from bnnbench.bench.table import Row, rows_of
from bnnbench.bench.timing import Blocks
from bnnbench.config.composition import compose
from bnnbench.data import Split, load_data
from bnnbench.experiment.assembly import check, task_of
from bnnbench.experiment.run import run

IN_MEMORY, LOADER, OURS = "script, data in memory", "script with a DataLoader of tensors", "bnnbench run"
IMAGES = "script with a DataLoader of images, as torchvision's MNIST"
EVERY = 300
EPOCHS = 3

Minibatches = Iterable[tuple[Tensor, Tensor]]


def measure(setting: Setting) -> Iterator[Row]:
    """Measure the run and the scripts in turn, each reads the data; the start of a process is apart, in `start`."""
    steps = 4 if setting.quick else EPOCHS * (len(training_data(setting)) // BATCH)
    every = 2 if setting.quick else EVERY
    kinds: dict[str, Callable[[Split], Minibatches]] = {IN_MEMORY: InMemory, LOADER: loader, IMAGES: image_loader}
    own_run(setting, 2, 2, setting.threads[0])  # loads the compiled loops
    for threads in setting.threads:
        blocks = Blocks()
        for _ in range(setting.repeats):
            for label in random.sample([*kinds, OURS], 1 + len(kinds)):
                torch.set_num_threads(threads)
                cpu, start = time.process_time(), time.perf_counter()
                if label == OURS:
                    own_run(setting, steps, every, threads)
                else:
                    train = training_data(setting)
                    script(train, test_data(setting), kinds[label](train), steps, every)
                blocks.add(label, time.perf_counter() - start, time.process_time() - cpu)
        size = f"{widths(HIDDEN)}, batch {BATCH}, {steps} steps"
        yield from rows_of(blocks, setting.part, size, threads, IN_MEMORY, [LOADER, IMAGES, OURS])


def loader(train: Split) -> Minibatches:
    """Return shuffled minibatches as the class of torch makes them."""
    data = TensorDataset(train.x, train.y)
    return DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Images of bytes, made into a picture and a tensor one by one, as torchvision's MNIST and ToTensor do.

    Args:
        train: the data, of 28 × 28 pixels.
    """

    def __init__(self, train: Split) -> None:
        x = train.x.reshape(len(train), 28, 28)
        low, high = float(x.min()), float(x.max())
        self.pixels = ((x - low) * (255 / (high - low))).round().byte().cpu()
        self.labels = train.y.cpu()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return an image [784] within [0, 1], and its label."""
        picture = Image.fromarray(self.pixels[index].numpy())
        return to_tensor(picture).flatten(), self.labels[index]


def image_loader(train: Split) -> Minibatches:
    """Return shuffled minibatches of images, as most scripts make them."""
    return DataLoader(Images(train), batch_size=BATCH, shuffle=True, drop_last=True)


def own_run(setting: Setting, steps: int, every: int, threads: int) -> None:
    """Make the run."""
    with tempfile.TemporaryDirectory() as results:
        words = [MLP, "method=psgld", "method.optimizer.v_adapt=always", f"iterations={steps}", f"eval.every={every}"]
        place = (f"threads={threads}", f"device={setting.device}", f"results={results}")
        run(compose([*setting.data, *words, *place]), Console(file=io.StringIO()))


def test_data(setting: Setting) -> Split:
    """Return the test data."""
    config = check(compose([*setting.data, "method=sgd"]))
    task = task_of(config)
    data = load_data(config.dataset, targets=task, root=config.data.root, seed=0, device=setting.device)
    return data.evaluation["test"]


class InMemory:
    """Shuffled minibatches of tensors that are in memory.

    Args:
        train: the data.
    """

    def __init__(self, train: Split) -> None:
        self.train = train

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return the minibatches of one epoch."""
        x, y = self.train.x, self.train.y
        for index in torch.randperm(len(self.train)).to(x.device).split(BATCH):
            if len(index) == BATCH:
                yield x[index], y[index]


def script(train: Split, test: Split, minibatches: Minibatches, steps: int, every: int) -> list[tuple[float, float]]:
    """Train, and return test error and NLL of the posterior mean at each evaluation, after a fifth of the steps."""
    network = mlp(HIDDEN, train)
    parameters: list[nn.Parameter] = list(network.parameters())
    update = careful_psgld(train)(parameters)
    total, members, scores = torch.zeros(len(test), 10, device=test.x.device), 0, []
    done = 0
    while done < steps:
        for x, y in minibatches:
            for p in parameters:
                p.grad = None
            F.cross_entropy(network(x), y).backward()
            update()
            done += 1
            if done % every == 0 or done == steps:
                probability = predict(network, test.x)
                if done > steps // 5:
                    total, members = total + probability, members + 1
                mean = total / members if members else probability
                error = (mean.argmax(1) != test.y).float().mean()
                nll = -mean.gather(1, test.y[:, None]).clamp_min(1e-12).log().mean()
                scores.append((error.item(), nll.item()))
            if done == steps:
                break
    return scores


@torch.no_grad()
def predict(network: nn.Module, x: Tensor) -> Tensor:
    """Return class probabilities [n, 10]."""
    return torch.cat([network(part).softmax(1) for part in x.split(2000)])
