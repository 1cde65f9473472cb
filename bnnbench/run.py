"""One run, from its configuration to its record, top to bottom."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.optim import Optimizer

from bnnbench import environment, methods, seeds
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
from bnnbench.records import RunFolder, now
from bnnbench.schedules import check_schedule, convergence_warning, make_schedule
from bnnbench.watch import Watch


def run(raw: Mapping[str, Any], console: Console | None = None) -> Path:
    """Run the resolved configuration `raw` and return the run's folder; a finished run is said so and left as it is.

    Raises:
        ConfigError: the configuration is wrong; nothing was written.
        DataError: a data file is missing or wrong.
        DivergedError: loss or parameters stopped being finite; what was recorded stays, with error.txt.
        BnnbenchError: the folder is in use by another process.
    """
    console = console or Console()
    config = check(raw)
    device = environment.choose_device(config.device)
    folder = RunFolder(raw)
    try:
        if folder.finished and not config.force:
            console.print(f"finished already: {folder.path} (--force runs it anew)", soft_wrap=True, highlight=False)
            return folder.path
        checkpoint = folder.resume(anew=config.force)
        try:
            rows = _train(config, device, folder, checkpoint, console)
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


def _train(
    config: RunConfig,
    device: torch.device,
    folder: RunFolder,
    checkpoint: dict[str, Any] | None,
    console: Console,
) -> list[Row]:
    """Train, evaluate and record; return the rows of the last evaluation."""
    threads = environment.set_threads(config.threads)
    # Everything is made anew, then moved to where the checkpoint left it.
    data = load_data(config.dataset, root=config.data.root, seed=config.seed, device=device, ood=config.eval.ood)
    batches = Minibatches(data.train, config.batch_size, config.chains, config.seed, config.shuffle)
    total = config.iterations or max(1, round(config.epochs * batches.steps_per_epoch))
    _check_budget(config, total)

    likelihood = likelihood_for(data.task, data.num_classes, config.head)
    chains = methods.build_chains(config, likelihood, data.in_shape, device)
    potential = Potential(chains, likelihood, config.prior, len(data.train))
    noise = Noise([seeds.derive(config.seed, k, "noise") for k in range(config.chains)], device)
    update = methods.build_update(config, potential, noise)
    schedule = make_schedule(config.schedule, iterations=total, steps_per_epoch=batches.steps_per_epoch)
    evaluator = Evaluator(config, data, chains, likelihood)
    watch = Watch(chains, device)

    iteration, train_seconds, eval_seconds = 0, 0.0, 0.0
    if checkpoint is not None:
        chains.load_state_dict(checkpoint["chains"])
        update.load_state_dict(checkpoint["update"])
        noise.load_state_dict(checkpoint["noise"])
        evaluator.load_state_dict(_to(checkpoint["evaluator"], device))
        iteration = checkpoint["iteration"]
        train_seconds, eval_seconds = checkpoint["train_seconds"], checkpoint["eval_seconds"]
        console.print(f"resumed at iteration {iteration} of {total}", highlight=False)
    temperature = methods.effective_temperature(config.method, len(data.train))
    _announce(config, folder, data, chains.size, device, threads, temperature, total, console)

    burn_in, thin, sampling = config.members.burn_in, config.members.thin, config.method.predictive.name == "samples"
    if config.method.predictive.name == "samples":
        burn_in, thin = config.method.predictive.burn_in, config.method.predictive.thin
    if evaluator.batch_norm and config.method.bn_stats == "frozen" and iteration >= burn_in > 0:
        statistics.hold(chains)
    base_lr = float(config.method.update["lr"])
    reporter = Reporter(config.method.label, total, iteration, console)
    rows: list[Row] = checkpoint["rows"] if checkpoint is not None else []
    saved = clock = time.perf_counter()
    try:
        while iteration < total:
            lr = base_lr * schedule(iteration)
            loss = step(update, potential, *batches(iteration), lr)
            iteration += 1
            if watch.add(loss, lr):
                watch.look(iteration)
                reporter.step(iteration)
            if iteration == burn_in and evaluator.batch_norm and config.method.bn_stats == "frozen":
                evaluator.freeze()

            member = sampling and iteration > burn_in and (iteration - burn_in) % thin == 0
            due = iteration % config.eval.every == 0 or iteration == total
            if not (member or due):
                continue
            watch.look(iteration)
            environment.synchronise(device)
            train_seconds += time.perf_counter() - clock
            clock = time.perf_counter()
            weight = lr if config.members.weight == "lr" else 1.0
            evaluated = evaluator(member=member, weight=weight, rows=due)
            environment.synchronise(device)
            if due:
                place = {"iteration": iteration, "epoch": iteration / batches.steps_per_epoch, "lr": lr}
                spent = eval_seconds + time.perf_counter() - clock
                clocks = {"train_seconds": train_seconds, "eval_seconds": spent}
                rows = _complete(evaluated, {**place, **clocks}, watch.mean(), config.chains)
                folder.append(rows)
                reporter.scores(iteration, rows)
            eval_seconds += time.perf_counter() - clock
            clock = time.perf_counter()
            if due and (iteration == total or clock - saved >= config.checkpoint_every):
                folder.checkpoint(
                    {
                        "iteration": iteration,
                        "train_seconds": train_seconds,
                        "eval_seconds": eval_seconds,
                        "chains": chains.state_dict(),
                        "update": update.state_dict(),
                        "noise": noise.state_dict(),
                        "evaluator": evaluator.state_dict(),
                        "rows": rows,
                    }
                )
                saved = time.perf_counter()
                eval_seconds += saved - clock
                clock = saved
    finally:
        reporter.close()
    final = {f"{r['split']}/{r['predictor']}/{r['chain']}": r for r in rows}
    folder.note(status="finished", end=now(), final=final, train_seconds=train_seconds, eval_seconds=eval_seconds)
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


def _complete(rows: list[Row], shared: Row, losses: list[float], count: int) -> list[Row]:
    """Return the rows with what they share, and with each chain's own gradients and loss."""
    done = []
    for row in rows:
        pooled = row["chain"] == "all"
        loss = sum(losses) / count if pooled else losses[row["chain"]]
        gradients = shared["iteration"] * (count if pooled else 1)
        done.append({**shared, **row, "grad_evals": gradients, "train_loss": loss})
    return done


def _announce(
    config: RunConfig,
    folder: RunFolder,
    data: Data,
    parameters: int,
    device: torch.device,
    threads: int,
    temperature: float | None,
    total: int,
    console: Console,
) -> None:
    """Write the manifest, and say what starts."""
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
        num_data=len(data.train),
        parameters=parameters,
        temperature=temperature,
        iterations=total,
        warnings=warnings,
        **environment.describe(device, threads),
    )
    shown = "" if temperature is None else f", T = {temperature:.3g}"
    if temperature is not None and math.isclose(temperature * len(data.train), 1):
        shown = f", T = 1/N = {temperature:.3g}"
    console.print(
        f"{config.method.label} on {config.dataset['name']}: N = {len(data.train)}, {parameters} parameters, "
        f"{config.chains} chain{'s' * (config.chains > 1)}{shown}, {device} with {threads} threads",
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
