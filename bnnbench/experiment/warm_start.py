"""Training that starts from the parameters of another run: `method.init_from`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from bnnbench.errors import ConfigError
from bnnbench.store import checkpoint
from bnnbench.store.folder import is_finished

State = dict[str, Tensor]


class WarmStart:
    """Copies the parameters of another run's chains into the networks of a run, one after the other.

    Args:
        folder: of the other run.
        chains: K of this run.

    Raises:
        ConfigError: see `load_pretrained`.
    """

    def __init__(self, folder: str, chains: int) -> None:
        self.folder = folder
        self._states = iter(load_pretrained(folder, chains))

    def __call__(self, network: nn.Module) -> None:
        """Copy the next chain's parameters into `network`; see `start_from`."""
        start_from(network, next(self._states), self.folder)


def load_pretrained(folder: str, chains: int) -> list[State]:
    """Return parameters and buffers, by name, for each of the K chains, from the last checkpoint of a run.

    A run of one chain starts all K; a run of K chains starts each with its own.

    Raises:
        ConfigError: no checkpoint there, an unfinished run, or one with another number of chains.
    """
    path = _check_folder(folder)
    try:
        state = checkpoint.read(path)
        count = state["chain_count"]
        tensors = {**state["chains"]["parameters"], **state["chains"]["buffers"]}
    except FileNotFoundError:
        raise ConfigError(
            f"method.init_from={folder}: no checkpoint.pt there. Give the folder of a run, as `bnnbench ls runs` shows."
        ) from None
    except checkpoint.DamagedError:
        raise ConfigError(f"method.init_from={folder}: its checkpoint.pt cannot be read. Run it again.") from None
    if count == 1:
        return [tensors] * chains
    if count != chains:
        raise ConfigError(
            f"method.init_from={folder}: it has {count} chains, this run has {chains}. Take chains={count}, "
            "or a run of one chain, which starts all of them."
        )
    return [{name: value[k] for name, value in tensors.items()} for k in range(chains)]


def _check_folder(folder: str) -> Path:
    """Return the path of the checkpoint of a finished run."""
    given = Path(folder).expanduser()
    if given.is_file():
        beside = f": {given.parent}" if is_finished(given.parent) else ", as `bnnbench ls runs` shows"
        raise ConfigError(f"method.init_from={folder}: a file, not the folder of a run. Give the folder{beside}.")
    path = given / checkpoint.NAME
    if path.is_file() and not is_finished(given):  # its parameters, and so the numbers of this run, could still change
        raise ConfigError(f"method.init_from={folder}: that run is not finished. The same command again continues it.")
    return path


@torch.no_grad()
def start_from(network: nn.Module, state: State, folder: str) -> None:
    """Copy `state` into `network`, whose layers are still plain.

    Raises:
        ConfigError: names or shapes differ; the first difference is named.
    """
    mine = dict(network.state_dict(keep_vars=True))
    plain = {name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    # A plain layer has only weight and bias; any other parameter under its name belongs to a stochastic one.
    extra = [name for name in state if name not in mine and not name.endswith(("weight", "bias"))]
    if stochastic := [name for name in extra if name.rpartition(".")[0] in plain]:
        raise ConfigError(
            f"method.init_from={folder}: a run with stochastic layers, as {stochastic[0]} shows. "
            "Take a run with deterministic layers, such as one of method=adam."
        )
    for name in (*mine, *state):
        here, there = (list(s[name].shape) if name in s else "missing" for s in (mine, state))
        if here != there:
            raise ConfigError(
                f"method.init_from={folder}: a run of another network: {name} is {there} there, {here} here. "
                "Take a run of the same model, dataset and norm."
            )
    for name, value in state.items():
        mine[name].copy_(value)
