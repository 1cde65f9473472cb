"""The state of a run between two steps: all that another process needs to continue with the same numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bnnbench.errors import ConfigError
from bnnbench.experiment.assembly import Parts
from bnnbench.experiment.evaluation import Row
from bnnbench.experiment.timing import Clock
from bnnbench.inference.random import set_stream_state, stream_state


def state_of(parts: Parts, iteration: int, rows: list[Row], clock: Clock) -> dict[str, Any]:
    """Return all that `restore` needs to continue with the same numbers."""
    return {
        "iteration": iteration,
        "device": parts.device.type,
        "rows": rows,
        "seconds": clock.seconds,
        "chains": parts.chains.state_dict(),
        "chain_count": parts.chains.count,
        "optimizer": parts.optimizer.state_dict(),
        "noise": parts.noise.state_dict(),
        "layer_stream": stream_state(parts.device),
        "approximation": parts.approximation.state_dict(),
        "losses": parts.guard.state_dict(),
    }


def restore(parts: Parts, checkpoint: dict[str, Any]) -> tuple[int, list[Row], Clock]:
    """Put the parts into the state of the checkpoint; return the iteration, the last rows and the clock.

    Raises:
        ConfigError: it was written on another kind of device, whose noise this one cannot continue, or by a version
            that keeps another state.
    """
    if checkpoint["device"] != parts.device.type:
        raise ConfigError(
            f"device={parts.device.type}: this run was begun on {checkpoint['device']}, and noise is not the same on "
            f"both. Continue it with device={checkpoint['device']}, or begin anew with --force."
        )
    if checkpoint["iteration"] > parts.iterations:
        raise ConfigError(
            f"checkpoint.pt: iteration {checkpoint['iteration']} of a run of {parts.iterations}: it is another run's. "
            "Begin anew with --force."
        )
    part = "chains"
    try:
        parts.chains.load_state_dict(checkpoint["chains"])
        part = "optimizer"
        parts.optimizer.load_state_dict(checkpoint["optimizer"])
        part = "noise"
        parts.noise.load_state_dict(checkpoint["noise"])
        part = "layer_stream"
        set_stream_state(checkpoint["layer_stream"], parts.device)
        part = "approximation"
        parts.approximation.load_state_dict(_to(checkpoint["approximation"], parts.device))
        part = "losses"
        if part in checkpoint:  # earlier versions wrote theirs right after an evaluation, when there are none
            parts.guard.load_state_dict(checkpoint[part])
        part = "seconds"
        clock = Clock(parts.device, checkpoint["seconds"]["train"], checkpoint["seconds"]["eval"])
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"checkpoint.pt: {part}: {said} ({type(error).__name__}): made by another version. Begin anew with --force."
        ) from error
    return checkpoint["iteration"], checkpoint["rows"], clock


def _to(state: Any, device: torch.device) -> Any:
    """Return a nested state with its tensors on `device`."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {key: _to(value, device) for key, value in state.items()}
    return state
