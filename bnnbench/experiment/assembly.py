"""The parts of a run: checked, then made from its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from bnnbench.config.schema import RunConfig, parse
from bnnbench.data import Data, check_dataset, check_targets, load_data
from bnnbench.errors import ConfigError
from bnnbench.experiment import machine, needs
from bnnbench.experiment.divergence import DivergenceGuard
from bnnbench.experiment.evaluation import Evaluator, splits_of
from bnnbench.experiment.lengths import with_lengths
from bnnbench.experiment.warm_start import WarmStart
from bnnbench.inference.approximations.base import Approximation
from bnnbench.inference.approximations.from_config import make_approximation
from bnnbench.inference.chains import Chains
from bnnbench.inference.method import (
    build_chains,
    build_optimizer,
    build_whole,
    check_method,
    effective_temperature,
    make_rule,
)
from bnnbench.inference.minibatches import Minibatches, steps_per_epoch
from bnnbench.inference.normalisation import Running, has_batch_norm, policy_for
from bnnbench.inference.potential import Potential
from bnnbench.inference.random import NoiseSource, derive_seed, noise_source
from bnnbench.layers.from_config import RunPrior
from bnnbench.models import check_model
from bnnbench.priors.from_config import kinds_with_prior, make_prior
from bnnbench.schedules import check_schedule, make_schedule, sampling_phase
from bnnbench.tasks.base import Task
from bnnbench.tasks.from_config import make_task
from bnnbench.tasks.measures import Measure
from bnnbench.tasks.metrics.from_config import make_metrics

ANY = 1000  # iterations of a run whose length is not known yet


def check(raw: Mapping[str, Any]) -> RunConfig:
    """Return the typed configuration, with every name, option, type and range checked and no data read."""
    config = parse(raw)
    task = task_of(config)
    make_metrics(config.eval.metrics, task)
    check_targets(config.dataset, task)
    check_model(config.model)
    check_schedule(config.schedule)
    check_method(with_lengths(config, ANY).method, _prior_of_layers(config))
    return config


def task_of(config: RunConfig) -> Task:
    """Return the task of a run, not yet fitted to its data.

    Raises:
        ConfigError: dataset or task is wrong, or they do not fit together.
    """
    source = check_dataset(config.dataset, config.eval.ood)
    return make_task(
        config.task, dataset=source.name, default=source.task, classes=source.classes, ece_bins=config.eval.ece_bins
    )


def measures_recorded(config: RunConfig) -> list[Measure]:
    """Return the measures that a run records of its predictions: its task's, then those of ``eval.metrics``."""
    task = task_of(config)
    return [*task.recorded, *(metric.measure for metric in make_metrics(config.eval.metrics, task))]


@dataclass
class Parts:
    """The parts of a run."""

    config: RunConfig  # with numbers for all lengths
    device: torch.device
    threads: int
    data: Data
    task: Task  # fitted to the data
    batches: Minibatches
    iterations: int  # of the whole run
    chains: Chains
    potential: Potential
    noise: NoiseSource
    optimizer: Optimizer
    schedule: Callable[[int], float]
    approximation: Approximation
    normalisation: Running
    evaluator: Evaluator
    guard: DivergenceGuard
    temperature: float | None  # T as a number; None for an optimiser
    narrow: str | None  # that memory or disk may not suffice

    @property
    def own_measures(self) -> list[Measure]:
        """The measures of this run that are not in the common table: its task's, then those of ``eval.metrics``."""
        return [*self.task.own_measures, *(metric.measure for metric in self.evaluator.metrics)]


def assemble(config: RunConfig) -> Parts:
    """Load the data and build network, method, schedule and evaluation.

    Raises:
        ConfigError: settings that do not fit this dataset. DataError: its files are missing or wrong.
    """
    device, threads = machine.choose_device(config.device), machine.set_threads(config.threads)
    data = load_data(
        config.dataset,
        targets=task_of(config),
        root=config.data.root,
        seed=config.seed,
        device=device,
        ood=config.eval.ood,
    )
    task = data.targets
    batches = Minibatches(data.train, config.batch_size, config.chains, config.seed, config.shuffle)
    iterations = _iterations(config, batches.steps_per_epoch)
    config = with_lengths(config, iterations)
    approximation = _approximation(config, iterations, batches.steps_per_epoch)
    narrow = needs.check(_needs(config, data, task), config.results, device)
    start = WarmStart(config.method.init_from, config.chains) if config.method.init_from else None
    chains = build_chains(config, task, _prior_of_layers(config), data.in_shape, device, start)
    prior, prior_on = make_prior(config.prior), kinds_with_prior(config.prior)
    potential = Potential(chains, task, prior, prior_on, len(data.train))
    noise = noise_source(config.random, [derive_seed(config.seed, k, "noise") for k in range(config.chains)], device)
    normalisation = policy_for(
        config.method.bn_stats,
        chains,
        refit_data(config, data) if has_batch_norm(chains) else data.train.x[:0],
        config.batch_size,
        burn_in(config),
    )
    return Parts(
        config=config,
        device=device,
        threads=threads,
        data=data,
        task=task,
        batches=batches,
        iterations=iterations,
        chains=chains,
        potential=potential,
        noise=noise,
        optimizer=build_optimizer(config, potential, noise, burn_in(config), batches.steps_per_epoch),
        schedule=make_schedule(config.schedule, iterations=iterations, steps_per_epoch=batches.steps_per_epoch),
        approximation=approximation,
        normalisation=normalisation,
        evaluator=Evaluator(
            task,
            chains,
            splits_of(data, list(config.eval.splits), task),
            set(data.ood),
            approximation,
            normalisation,
            config.eval.batch_size,
            config.seed,
            make_metrics(config.eval.metrics, task),
            config.random,
        ),
        guard=DivergenceGuard(chains, device),
        temperature=effective_temperature(config.method, len(data.train)),
        narrow=narrow,
    )


def _needs(config: RunConfig, data: Data, task: Task) -> needs.Needs | None:
    """Return what the run will need of memory and disk."""
    return needs.estimate(
        config,
        data,
        task,
        lambda: build_whole(config, task, _prior_of_layers(config), data.in_shape, tried=False),
        needs.tensors_kept(make_rule(config.method, len(data.train))),
        effective_temperature(config.method, len(data.train)) is not None,
    )


def burn_in(config: RunConfig) -> int:
    """Return the iterations before ``bn_stats=frozen`` freezes: the burn-in of the members, if the method has one."""
    given = config.method.predictive.get("burn_in", config.members.burn_in)
    assert given is not None, "see `with_lengths`"
    return int(given)


def refit_data(config: RunConfig, data: Data) -> torch.Tensor:
    """Return the training inputs [n, …] on which BatchNorm's statistics are refitted."""
    size = min(config.method.bn_refit_size, len(data.train))
    generator = torch.Generator().manual_seed(derive_seed(config.seed, 0, "eval"))
    subset = torch.randperm(len(data.train), generator=generator)[:size]
    return data.train.x[subset.to(data.train.x.device)]


def data_key(config: RunConfig) -> str:
    """Return the same word for runs that have the same training data."""
    return json.dumps([config.dataset, config.task, config.data.root, _data_seed(config)], sort_keys=True, default=str)


def read_size(config: RunConfig) -> int:
    """Return the number N of training points.

    Raises:
        ConfigError: settings that do not fit this dataset. DataError: its files are missing or wrong.
    """
    cpu, seed = torch.device("cpu"), _data_seed(config)
    data = load_data(config.dataset, targets=task_of(config), root=config.data.root, seed=seed, device=cpu)
    return len(data.train)


def _data_seed(config: RunConfig) -> int:
    return config.seed if config.dataset.get("valid_seed") is None else 0


def check_size(config: RunConfig, size: int) -> None:
    """Check what depends on the number N of training points, `size`, without building anything.

    Raises:
        ConfigError: settings that do not fit it.
    """
    steps = steps_per_epoch(size, config.batch_size)
    iterations = _iterations(config, steps)
    _approximation(with_lengths(config, iterations), iterations, steps)


def _iterations(config: RunConfig, steps: float) -> int:
    """Return the iterations of the whole run, at `steps` per epoch, N/B."""
    return config.iterations or max(1, round(config.epochs * steps))


def _approximation(config: RunConfig, iterations: int, steps: float) -> Approximation:
    """Return the approximation of a run of that many `iterations`, after checking that some member is left."""
    approximation = make_approximation(config.method.predictive)
    approximation.check_length(iterations)
    approximation.phase = sampling_phase(config.schedule, iterations=iterations, steps_per_epoch=steps)
    if approximation.phase is None or not approximation.takes_iterates:
        return approximation
    if not any(approximation.takes(iteration) for iteration in range(1, iterations + 1)):
        raise ConfigError(
            f"schedule={config.schedule['name']}: no iterate that members.burn_in={config.members.burn_in} and "
            f"members.thin={config.members.thin} leave falls into its sampling phases. Take members.thin=1, say."
        )
    return approximation


def _prior_of_layers(config: RunConfig) -> RunPrior:
    """Return the parts of the run's prior that stochastic layers adopt."""
    prior, on = make_prior(config.prior), kinds_with_prior(config.prior)
    return RunPrior(str(config.prior["name"]), prior.std, "bias" in on)
