"""One run, from its configuration to its record, top to bottom."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.optim import Optimizer

from bnnbench import environment, methods, seeds
from bnnbench.chains import Chains
from bnnbench.clock import Clock
from bnnbench.config import RunConfig, parse
from bnnbench.data import Data, check_dataset, load_data
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.evaluation import Evaluator, Row
from bnnbench.layers import statistics
from bnnbench.likelihood import likelihood_for
from bnnbench.minibatches import Minibatches
from bnnbench.models import check_model
from bnnbench.noise import Noise
from bnnbench.potential import Potential
from bnnbench.progress import Reporter, closing_table
from bnnbench.records import RunFolder, is_finished, now, run_path
from bnnbench.schedules import check_schedule, convergence_warning, make_schedule
from bnnbench.watch import Watch


def run(raw: Mapping[str, Any], console: Console | None = None) -> Path:
    """Run the resolved configuration `raw` and return the run's folder; a finished run is said so and left as it is.

    Raises:
        ConfigError: the configuration is wrong, by itself or for this dataset; nothing was written.
        DataError: a data file is missing or wrong; nothing was written.
        DivergedError: loss or parameters stopped being finite; what was recorded stays, with error.txt.
        BnnbenchError: the folder is in use by another process.
    """
    console = console or Console()
    config = check(raw)
    if is_finished(run_path(raw)) and not config.force:
        console.print(f"finished already: {run_path(raw)} (--force runs it anew)", soft_wrap=True, highlight=False)
        return run_path(raw)
    parts = assemble(config)
    folder = RunFolder(raw)
    try:
        rows = _train(config, parts, folder, console)
    except KeyboardInterrupt:
        folder.note(status="interrupted", end=now())
        raise
    except BnnbenchError as error:
        folder.fail(str(error))
        raise
    except Exception as error:
        folder.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        raise
    finally:
        folder.close()
    console.print(closing_table(rows, config.method.label))
    console.print(f"results: {folder.path}", soft_wrap=True, highlight=False)
    return folder.path


def check(raw: Mapping[str, Any]) -> RunConfig:
    """Return the typed configuration, with every name, option, type and range checked and no data read."""
    config = parse(raw)
    check_dataset(config.dataset, config.eval.ood)
    check_model(config.model)
    check_schedule(config.schedule)
    methods.check_method(config.method)
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
    update: Optimizer
    schedule: Callable[[int], float]
    evaluator: Evaluator
    watch: Watch
    temperature: float | None  # T as a number; None for an optimiser


def assemble(config: RunConfig) -> Parts:
    """Load the data and make network, method, schedule and evaluation.

    Raises:
        ConfigError: settings that do not fit this dataset. DataError: its files are missing or wrong.
    """
    device, threads = environment.choose_device(config.device), environment.set_threads(config.threads)
    data = load_data(config.dataset, root=config.data.root, seed=config.seed, device=device, ood=config.eval.ood)
    batches = Minibatches(data.train, config.batch_size, config.chains, config.seed, config.shuffle)
    iterations = config.iterations or max(1, round(config.epochs * batches.steps_per_epoch))
    _check_budget(config, iterations)
    likelihood = likelihood_for(data.task, data.num_classes, config.head)
    chains = methods.build_chains(config, likelihood, data.in_shape, device)
    potential = Potential(chains, likelihood, config.prior, len(data.train))
    noise = Noise([seeds.derive(config.seed, k, "noise") for k in range(config.chains)], device)
    return Parts(
        device=device,
        threads=threads,
        data=data,
        batches=batches,
        iterations=iterations,
        chains=chains,
        potential=potential,
        noise=noise,
        update=methods.build_update(config, potential, noise),
        schedule=make_schedule(config.schedule, iterations=iterations, steps_per_epoch=batches.steps_per_epoch),
        evaluator=Evaluator(config, data, chains, likelihood),
        watch=Watch(chains, device),
        temperature=methods.effective_temperature(config.method, len(data.train)),
    )


def _train(config: RunConfig, parts: Parts, folder: RunFolder, console: Console) -> list[Row]:
    """Train, evaluate and record; return the rows of the last evaluation."""
    checkpoint = folder.resume(anew=config.force)
    iteration, rows = 0, []
    clock = Clock(parts.device)
    if checkpoint is not None:
        iteration, rows, clock = _restore(parts, checkpoint)
        console.print(f"resumed at iteration {iteration} of {parts.iterations}", highlight=False)
    _announce(config, parts, folder, console)

    evaluator, watch, schedule = parts.evaluator, parts.watch, parts.schedule
    predictive = config.method.predictive
    sampling = predictive.name == "samples"
    plan = predictive if predictive.name == "samples" else config.members  # an optimiser has no plan of its own
    freezes = evaluator.batch_norm and config.method.bn_stats == "frozen"
    if freezes and iteration == plan.burn_in == 0:
        evaluator.freeze()
    elif freezes and iteration >= plan.burn_in:
        statistics.hold(parts.chains)
    lr_start = float(config.method.update["lr"])
    saved = time.perf_counter()
    reporter = Reporter(config.method.label, parts.iterations, iteration, console)
    try:
        while iteration < parts.iterations:
            lr = lr_start * schedule(iteration)
            loss = step(parts.update, parts.potential, *parts.batches(iteration), lr)
            iteration += 1
            if watch.add(loss, lr):
                watch.look(iteration)
                reporter.step(iteration)
            if freezes and iteration == plan.burn_in:
                evaluator.freeze()

            member = sampling and iteration > plan.burn_in and (iteration - plan.burn_in) % plan.thin == 0
            due = iteration % config.eval.every == 0 or iteration == parts.iterations
            if not (member or due):
                continue
            watch.look(iteration)
            clock.lap("train")
            evaluated = evaluator(member=member, weight=lr if plan.weight == "lr" else 1.0, rows=due)
            clock.lap("eval")
            if due:
                rows = _complete(evaluated, iteration, lr, watch.mean(), parts, clock)
                folder.append(rows)
                reporter.scores(iteration, rows)
                if iteration == parts.iterations or time.perf_counter() - saved >= config.checkpoint_every:
                    folder.checkpoint(_state(parts, iteration, rows, clock))
                    saved = time.perf_counter()
            clock.lap("eval")
    finally:
        reporter.close()
    final = {f"{row['split']}/{row['predictor']}/{row['chain']}": row for row in rows}
    spent = {f"{what}_seconds": seconds for what, seconds in clock.seconds.items()}
    folder.note(status="finished", end=now(), final=final, **spent)
    return rows


def step(update: Optimizer, potential: Potential, x: Tensor, y: Tensor, lr: float) -> Tensor:
    """Make one step of every chain on minibatches x [K, B, …], y [K, B]; return the losses [K] before it."""
    for group in update.param_groups:
        group["lr"] = lr
    if getattr(update, "needs_closure", False):  # it takes second derivatives of the loss itself
        kept: list[Tensor] = []

        def closure() -> Tensor:
            kept.append(potential(x, y))
            return kept[-1].sum()

        update.step(closure)
        return kept[0].detach()
    loss = potential(x, y)
    update.zero_grad(set_to_none=True)
    # The chains share no parameter, so the gradient of the sum is each chain's own.
    loss.sum().backward()
    update.step()
    return loss.detach()


def _check_budget(config: RunConfig, total: int) -> None:
    predictive = config.method.predictive
    if predictive.name == "samples" and predictive.burn_in + predictive.thin > total:
        raise ConfigError(
            f"members.burn_in={predictive.burn_in} and members.thin={predictive.thin} leave no posterior member in "
            f"{total} iterations. Take more epochs=… or a smaller members.burn_in=…"
        )


def _complete(rows: list[Row], iteration: int, lr: float, losses: list[float], parts: Parts, clock: Clock) -> list[Row]:
    """Return the rows of one evaluation with its place in the run, and with each chain's own gradients and loss."""
    shared = {
        "iteration": iteration,
        "epoch": iteration / parts.batches.steps_per_epoch,
        "lr": lr,
        "train_seconds": clock.seconds["train"],
        "eval_seconds": clock.seconds["eval"],
    }
    done, passes = [], getattr(parts.update, "backward_passes", 1)
    for row in rows:
        pooled = row["chain"] == "all"
        loss = sum(losses) / len(losses) if pooled else losses[row["chain"]]
        gradients = iteration * passes * (len(losses) if pooled else 1)
        done.append({**shared, **row, "grad_evals": gradients, "train_loss": loss})
    return done


def _state(parts: Parts, iteration: int, rows: list[Row], clock: Clock) -> dict[str, Any]:
    """Return all that `_restore` needs to go on as if nothing had happened."""
    return {
        "iteration": iteration,
        "device": parts.device.type,
        "rows": rows,
        "seconds": clock.seconds,
        "chains": parts.chains.state_dict(),
        "update": parts.update.state_dict(),
        "noise": parts.noise.state_dict(),
        "evaluator": parts.evaluator.state_dict(),
    }


def _restore(parts: Parts, checkpoint: dict[str, Any]) -> tuple[int, list[Row], Clock]:
    """Move the parts to where the checkpoint left them; return the iteration, the last rows and the clock.

    Raises:
        ConfigError: it was left on another kind of device, whose noise this one cannot continue.
    """
    if checkpoint["device"] != parts.device.type:
        raise ConfigError(
            f"device={parts.device.type}: this run was begun on {checkpoint['device']}, and noise is not the same on "
            f"both. Continue it with device={checkpoint['device']}, or begin anew with --force."
        )
    try:
        parts.chains.load_state_dict(checkpoint["chains"])
    except ValueError as error:
        raise ConfigError(f"checkpoint.pt: {error}, made by another version. Begin anew with --force.") from None
    parts.update.load_state_dict(checkpoint["update"])
    parts.noise.load_state_dict(checkpoint["noise"])
    parts.evaluator.load_state_dict(_to(checkpoint["evaluator"], parts.device))
    seconds = checkpoint["seconds"]
    return checkpoint["iteration"], checkpoint["rows"], Clock(parts.device, seconds["train"], seconds["eval"])


def _announce(config: RunConfig, parts: Parts, folder: RunFolder, console: Console) -> None:
    """Write the manifest, and say what starts."""
    temperature, num_data = parts.temperature, len(parts.data.train)
    warnings = []
    if temperature:
        broken = convergence_warning(config.schedule)
        if broken is not None:
            warnings.append(f"schedule={config.schedule['name']}: {broken}")
    folder.note(
        status="running",
        error=None,
        start=folder.manifest.get("start") or now(),
        dataset=config.dataset["name"],
        model=config.model["name"],
        method=config.method.name,
        label=config.method.label,
        num_data=num_data,
        parameters=parts.chains.size,
        temperature=temperature,
        iterations=parts.iterations,
        warnings=warnings,
        **environment.describe(parts.device, parts.threads),
    )
    shown = "" if temperature is None else f", T = {temperature:.3g}"
    if temperature is not None and math.isclose(temperature * num_data, 1):
        shown = f", T = 1/N = {temperature:.3g}"
    console.print(
        f"{config.method.label} on {config.dataset['name']}: N = {num_data}, {parts.chains.size} parameters, "
        f"{config.chains} chain{'s' * (config.chains > 1)}{shown}, {parts.device} with {parts.threads} threads",
        highlight=False,
        soft_wrap=True,
    )
    for warning in warnings:
        console.print(f"note: {warning}", highlight=False, soft_wrap=True)


def _to(state: Any, device: torch.device) -> Any:
    """Return a nested state with its tensors on `device`."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {key: _to(value, device) for key, value in state.items()}
    return state
