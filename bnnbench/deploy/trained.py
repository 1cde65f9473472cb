"""A run rebuilt from its folder, with the parameters of its last checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bnnbench.config import plugins
from bnnbench.config.schema import RunConfig
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.experiment import machine
from bnnbench.experiment.assembly import Parts, assemble, check
from bnnbench.experiment.evaluation import Row
from bnnbench.store import checkpoint, sources
from bnnbench.store.find import find_runs, is_run
from bnnbench.store.frame import Run, load_run
from bnnbench.store.manifest import RunStatus


@dataclass
class Trained:
    """A trained run.

    Attributes:
        run: its folder, configuration and manifest as recorded.
        config: the configuration in use, on the device asked for.
        parts: of the run; the chains are those of the checkpoint.
        iteration: of the checkpoint.
        rows: of the evaluation at that iteration.
    """

    run: Run
    config: RunConfig
    parts: Parts
    iteration: int
    rows: list[Row]

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.run.folder

    @property
    def title(self) -> str:
        """Method, data and model, as in legends."""
        return f"{self.config.method.label} on {self.run.label('dataset')}, {self.run.label('model')}"

    @property
    def notes(self) -> list[str]:
        """Caveats for users of this run."""
        notes = []
        if self.run.status != RunStatus.FINISHED:
            notes.append(f"{self.run.status}, not finished: iteration {self.iteration} of {self.parts.iterations}")
        changed = sources.changed(self.run.manifest, self.config.data.root)
        if changed is not None:
            notes.append(f"{changed} is not what the run was made with")
        if self.parts.approximation.one_network:
            notes.append(self.parts.approximation.one_network)
        return notes

    def network(self, chain: int = 0) -> nn.Module:
        """Return a copy of one chain's network, with the layers and module modes of training.

        Raises:
            ConfigError: no such chain.
        """
        chains = self.parts.chains
        if not 0 <= chain < chains.count:
            raise ConfigError(f"chain {chain}: this run has {chains.count} of them. Take 0 to {chains.count - 1}.")
        network = copy.deepcopy(chains.network)
        mine = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        buffers = {n: b if chains.count == 1 else b[chain] for n, b in chains.buffers.items()}
        with torch.no_grad():
            for name, value in {**chains.state_of(chain), **buffers}.items():
                mine[name].copy_(value)
        return network

    def settle(self, network: nn.Module) -> nn.Module:
        """Put `network` into evaluation mode, with the BatchNorm statistics of the run's evaluation.

        Raises:
            ConfigError: the policy ``batch``, which has no statistics to keep.
        """
        try:
            return self.parts.normalisation.settle(network)
        except ConfigError as error:
            raise ConfigError(f"{self.folder}: {error}") from None


def load_trained(folder: str | Path, device: str = "auto", allow_code: Sequence[str] = ()) -> Trained:
    """Return the run in `folder` with the parameters of its last checkpoint.

    Args:
        folder: of a run, a file in it, or a folder that contains exactly one run.
        device: for the networks; it may differ from that of training.
        allow_code: the user's own packages that the run may import; any other code that its files name is refused.

    Raises:
        BnnbenchError: no run there, or several; no checkpoint, or one that cannot be read.
        ConfigError: a configuration that this version rejects, or that names other code; no such device.
        DataError: its data are missing.
    """
    folder = _folder_of(Path(folder))
    found = find_runs(folder)
    if len(found) > 1:
        raise BnnbenchError(f"{folder} holds {len(found)} runs. Give the folder of one, such as {found[0]}.")
    run = load_run(found[0])
    raw = {**run.config, "device": device, "results": str(folder)}  # it may come from another machine
    if isinstance(raw["method"], dict):  # the parameters come from the checkpoint, wherever training started from
        raw["method"] = {**raw["method"], "init_from": None}
    if isinstance(raw.get("data"), dict) and raw["data"].get("root") and not Path(str(raw["data"]["root"])).is_dir():
        raw["data"] = {**raw["data"], "root": None}  # of the machine that it was made on
    with plugins.only_code_of(allow_code):
        try:
            config = check(raw)
        except ConfigError as error:
            raise ConfigError(f"{run.folder / 'config.yaml'}: {error}") from None
        state = _read(run, machine.choose_device(device))
        parts = assemble(config)
    try:
        parts.chains.load_state_dict(state["chains"])
    except ValueError as error:
        raise BnnbenchError(f"{run.folder / checkpoint.NAME}: {error} than config.yaml describes.") from None
    parts.approximation.load_state_dict(state["approximation"])
    parts.normalisation.on_resume(state["iteration"])
    return Trained(run, parts.config, parts, state["iteration"], state["rows"])


def _folder_of(path: Path) -> Path:
    """Return the run's folder if `path` is a file in it, otherwise `path`."""
    if not path.is_file():
        return path
    if not is_run(path.parent):
        raise BnnbenchError(
            f"{path} is a file, but not one of a run. Give a run's folder, as `bnnbench ls runs` shows."
        )
    return path.parent


def _read(run: Run, device: torch.device) -> dict[str, Any]:
    """Return the run's checkpoint."""
    try:
        return checkpoint.read(run.folder / checkpoint.NAME, device)
    except FileNotFoundError:
        if run.status == RunStatus.FINISHED:
            raise BnnbenchError(
                f"{run.folder}: the run is finished, but its checkpoint.pt is missing. "
                "`bnnbench run` with its settings and force=true makes it again."
            ) from None
        raise BnnbenchError(
            f"{run.folder}: no checkpoint.pt: the run ended before its first checkpoint. Finish it first."
        ) from None
