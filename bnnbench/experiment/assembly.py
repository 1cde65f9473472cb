"""What a run consists of: checked, then made from its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from bnnbench.config.schema import RunConfig, parse
from bnnbench.data import Data, check_dataset, load_data
from bnnbench.errors import ConfigError
from bnnbench.experiment import machine
from bnnbench.experiment.divergence import Watch
from bnnbench.experiment.evaluation import Evaluator
from bnnbench.experiment.warm_start import WarmStart
from bnnbench.inference.chains import Chains
from bnnbench.inference.method import build_chains, build_optimizer, check_method, effective_temperature
from bnnbench.inference.minibatches import Minibatches, steps_per_epoch
from bnnbench.inference.potential import Potential
from bnnbench.inference.random import Noise, derive_seed
from bnnbench.models import check_model
from bnnbench.schedules import check_schedule, make_schedule
from bnnbench.tasks.likelihood import likelihood_for


def check(raw: Mapping[str, Any]) -> RunConfig:
    """Return the typed configuration, with every name, option, type and range checked and no data read."""
    config = parse(raw)
    check_dataset(config.dataset, config.eval.ood)
    check_model(config.model)
    check_schedule(config.schedule)
    check_method(config.method, config.prior)
    return config


@dataclass
class Parts:
    """What a run consists of, made from its configuration."""

    device: torch.device
    threads: int
    data: Data
    batches: Minibatches
    iterations: int  # of the whole run
    chains: Chains
    potential: Potential
    noise: Noise
    optimizer: Optimizer
    schedule: Callable[[int], float]
    evaluator: Evaluator
    watch: Watch
    temperature: float | None  # T as a number; None for an optimiser


def assemble(config: RunConfig) -> Parts:
    """Load the data and make network, method, schedule and evaluation.

    Raises:
        ConfigError: settings that do not fit this dataset. DataError: its files are missing or wrong.
    """
    device, threads = machine.choose_device(config.device), machine.set_threads(config.threads)
    data = load_data(config.dataset, root=config.data.root, seed=config.seed, device=device, ood=config.eval.ood)
    batches = Minibatches(data.train, config.batch_size, config.chains, config.seed, config.shuffle)
    iterations = _iterations(config, batches.steps_per_epoch)
    likelihood = likelihood_for(data.task, data.num_classes, config.head)
    start = WarmStart(config.method.init_from, config.chains) if config.method.init_from else None
    chains = build_chains(config, likelihood, data.in_shape, device, start)
    potential = Potential(chains, likelihood, config.prior, len(data.train))
    noise = Noise([derive_seed(config.seed, k, "noise") for k in range(config.chains)], device)
    return Parts(
        device=device,
        threads=threads,
        data=data,
        batches=batches,
        iterations=iterations,
        chains=chains,
        potential=potential,
        noise=noise,
        optimizer=build_optimizer(config, potential, noise),
        schedule=make_schedule(config.schedule, iterations=iterations, steps_per_epoch=batches.steps_per_epoch),
        evaluator=Evaluator(config, data, chains, likelihood),
        watch=Watch(chains, device),
        temperature=effective_temperature(config.method, len(data.train)),
    )


def check_size(config: RunConfig, sizes: dict[str, int]) -> None:
    """Check what depends on the number N of training points, without making anything of them.

    Args:
        config: of a run.
        sizes: N of the datasets read so far; filled, so that many runs on one dataset read it once.

    Raises:
        ConfigError: settings that do not fit this dataset. DataError: its files are missing or wrong.
    """
    seed = config.seed if config.dataset.get("valid_seed") is None else 0
    key = json.dumps([config.dataset, config.data.root, seed], sort_keys=True, default=str)
    if key not in sizes:
        data = load_data(config.dataset, root=config.data.root, seed=seed, device=torch.device("cpu"))
        sizes[key] = len(data.train)
    _iterations(config, steps_per_epoch(sizes[key], config.batch_size))


def _iterations(config: RunConfig, steps: int) -> int:
    """Return the iterations of the whole run, at `steps` per epoch."""
    total = config.iterations or max(1, round(config.epochs * steps))
    predictive = config.method.predictive
    if predictive.name == "samples" and predictive.burn_in + predictive.thin > total:
        burn_in, thin = total // 2, max(1, total // 20)
        raise ConfigError(
            f"members.burn_in={predictive.burn_in} and members.thin={predictive.thin} leave no posterior member in "
            f"{total} iterations.\nTake iterations={predictive.burn_in + 10 * predictive.thin}, say, or "
            f"members.burn_in={burn_in} members.thin={thin}."
        )
    return total
