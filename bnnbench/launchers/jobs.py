"""The runs of a sweep: what each is made of, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

# How a run of a sweep ends.
FINISHED = "finished"
RESUMED = "resumed"  # and finished: it continued from a checkpoint
SKIPPED = "skipped"  # it had finished before
FAILED = "failed"
IN_USE = "in use"  # another process is writing it
INTERRUPTED = "interrupted"  # it resumes
NOT_STARTED = "not started"
STATUSES = (FINISHED, RESUMED, SKIPPED, FAILED, IN_USE, INTERRUPTED, NOT_STARTED)


class Outcome(NamedTuple):
    """How a run ended: a word of `STATUSES`, why if it failed, and the seconds that it took. Plain, to be pickled."""

    status: str
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: as Hydra's sweeper gives them, ``key=value`` each.
        raw: the resolved configuration.
        label: the overrides in which the jobs of this sweep differ.
        path: the run's folder.
    """

    overrides: tuple[str, ...]
    raw: Mapping[str, Any]
    label: str
    path: Path

    def __str__(self) -> str:
        return f"{self.path.name} ({self.label})" if self.label else self.path.name


def labels(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return of every job the overrides that are not the same in all of them."""
    common = set(jobs[0]).intersection(*jobs) if len(jobs) > 1 else set()
    return [" ".join(o for o in overrides if o not in common) for overrides in jobs]


def resolve(context: HydraContext, config: DictConfig, overrides: Sequence[str], number: int) -> dict[str, Any]:
    """Return the resolved configuration of job `number` of the sweep that has `config`.

    Raises:
        HydraException, OmegaConfBaseException: the overrides do not fit the configuration.
    """
    from omegaconf import OmegaConf, open_dict

    cfg = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(cfg):
        cfg.hydra.job.id = f"{cfg.hydra.job.name}_{number}"
        cfg.hydra.job.num = number
    with _current(cfg):  # what ${hydra:job.num} refers to
        mine = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        resolved = OmegaConf.to_container(mine, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


@contextmanager
def _current(cfg: DictConfig) -> Iterator[None]:
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before
