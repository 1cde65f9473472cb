"""What a run will need of memory and disk, estimated before anything of its size is made."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

import torch
from torch import Tensor, nn

from bnnbench.config.schema import RunConfig
from bnnbench.data import Data
from bnnbench.errors import ConfigError
from bnnbench.experiment.shapes import Shapes
from bnnbench.layers.network import layers_with_kl
from bnnbench.tasks.base import Task

SINGLE, DOUBLE = 4, 8  # bytes
COPIES = 3  # of a checkpoint on the disk: the last, the one before, and the one being written
KL_TENSORS = 4  # of the size of a stochastic layer's parameters, while their KL is differentiated; measured
NARROW = 0.8  # of what there is; a run that needs more is warned of
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Needs:
    """Bytes that a run will need beside its data, which are loaded already.

    Attributes:
        parameters: of all chains, with their gradients, what the update rule keeps of them, and what it and the KL work
            with.
        training: the activations of a minibatch of every chain, and their gradients.
        evaluation: activations of a batch, and the predictions that are kept of every split and chain.
        disk: of the run's folder at most.
    """

    parameters: int
    training: int
    evaluation: int
    disk: int

    @property
    def memory(self) -> int:
        """The most at one time."""
        return self.parameters + max(self.training, self.evaluation)


def estimate(
    config: RunConfig, data: Data, task: Task, build: Callable[[], nn.Module], state: int, noise: bool
) -> Needs | None:
    """Return what the run will need; None where the network cannot be built without memory for it.

    Args:
        config: of the run.
        data: loaded.
        task: fitted.
        build: makes one network, with its stochastic layers, without trying it out.
        state: tensors of a parameter's size that the update rule keeps for it.
        noise: whether the method draws noise of that size.
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]), Shapes():
            network = build()
            every, largest = _activations(network, data.in_shape)
    except Exception:  # a user's network may do what has no meaning without numbers
        return None
    chains, size = config.chains, sum(p.numel() for p in network.parameters())
    drawn = sum(p.numel() for layer in layers_with_kl(network) for p in cast(nn.Module, layer).parameters())
    splits = [len(split) for split in (*data.evaluation.values(), *data.ood.values())]
    predictions = chains * sum(splits) * max(1, task.outputs)
    batch = min(config.eval.batch_size, chains * max(splits))
    return Needs(
        parameters=SINGLE * chains * (size * (1 + 1 + state + noise + 1) + KL_TENSORS * drawn),
        training=2 * SINGLE * chains * config.batch_size * every,
        evaluation=2 * SINGLE * batch * largest + (2 * SINGLE + 3 * DOUBLE) * predictions,
        disk=COPIES * (SINGLE * chains * size * (1 + state) + DOUBLE * predictions),
    )


def check(needs: Needs | None, results: str | Path, device: torch.device) -> str | None:
    """Return a warning in words where memory or disk may not suffice.

    Raises:
        ConfigError: they will not.
    """
    if needs is None:
        return None
    said = []
    for what, needed, there, less in (
        (
            "memory",
            needs.memory,
            memory_available(device),
            f"parameters, gradients and state {_bytes(needs.parameters)}, a training step {_bytes(needs.training)}, an "
            f"evaluation {_bytes(needs.evaluation)}).\nTake a smaller model, fewer chains, or a smaller batch_size or "
            "eval.batch_size.",
        ),
        (
            "disk",
            needs.disk,
            _disk_free(Path(results).expanduser()),
            f"{COPIES} checkpoints at a time).\nGive results=… on another disk, a smaller model or fewer chains.",
        ),
    ):
        if there is None or needed <= NARROW * there:
            continue
        words = f"this run needs about {_bytes(needed)} of {what}; {_bytes(there)} are free"
        if needed > there:
            raise ConfigError(f"{words} ({less}")
        said.append(words)
    return "; ".join(said) or None


def memory_available(device: torch.device) -> int | None:
    """Return the bytes that this process may still use on `device`; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = []
    with suppress(OSError, ValueError):
        for line in (PROC / "meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
    for limit, use in _limits_of_groups():
        with suppress(OSError, ValueError):  # no such file, or no limit: "max"
            found.append(int(limit.read_text("ascii")) - int(use.read_text("ascii")))
    with suppress(ImportError, OSError, ValueError):  # ulimit -v
        import resource

        if (most := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
            pages = int((PROC / "self" / "statm").read_text("ascii").split()[0])
            found.append(most - pages * resource.getpagesize())
    return min((size for size in found if size > 0), default=None)


def _limits_of_groups() -> Iterator[tuple[Path, Path]]:
    """Yield the files of limit and use of every control group around this process, of Linux's versions 2 and 1."""
    groups = ["0::/", "1:memory:/"]  # inside a container its own group may be mounted as the root
    with suppress(OSError):
        groups += (PROC / "self" / "cgroup").read_text("utf-8").splitlines()
    for number, controllers, path in (group.split(":", 2) for group in groups if group.count(":") >= 2):
        for place in (PurePosixPath(path), *PurePosixPath(path).parents):
            if number == "0":
                folder = CGROUPS / place.relative_to("/")
                yield folder / "memory.max", folder / "memory.current"
            elif controllers == "memory":
                folder = CGROUPS / "memory" / place.relative_to("/")
                yield folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes"


def tensors_kept(rule: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> int:
    """Return how many tensors of a parameter's size an update rule keeps for it, after a step on a small one."""
    parameter = nn.Parameter(torch.zeros(8))
    try:
        optimizer = rule([parameter])

        def closure() -> Tensor:
            return (parameter**2).sum()

        with torch.random.fork_rng(devices=[]):
            if getattr(optimizer, "needs_closure", False):
                optimizer.step(closure)  # type: ignore[arg-type]  # torch's annotation is float
            else:
                parameter.grad = torch.ones(8)
                optimizer.step()
        values = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]
    except (Exception, SystemExit):  # rather a guess than no run
        return 2
    return math.ceil(sum(v.numel() for v in values if v.numel() >= 8) / 8)


def _activations(network: nn.Module, in_shape: tuple[int, ...]) -> tuple[int, int]:
    """Return numbers per datum: of the outputs of all modules without children, and of the two largest of them."""
    sizes = [math.prod(in_shape)]

    def note(module: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() // 2)

    hooks = [m.register_forward_hook(note) for m in network.modules() if not any(m.children())]
    try:
        with torch.no_grad():
            network.eval()(torch.empty(2, *in_shape, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(sizes), sum(sorted(sizes)[-2:])


def _disk_free(path: Path) -> int | None:
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return shutil.disk_usage(os.fspath(path) or ".").free
    except OSError:
        return None


def _bytes(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"
