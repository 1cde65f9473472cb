"""One run, from its configuration to its record, top to bottom."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor
from torch.optim import Optimizer

from bnnbench.config.chosen import departures
from bnnbench.config.schema import RunConfig
from bnnbench.config.user_code import called
from bnnbench.data import data_root
from bnnbench.errors import BnnbenchError, StorageError
from bnnbench.experiment import machine
from bnnbench.experiment.assembly import Parts, assemble, burn_in, check
from bnnbench.experiment.cores import usable_cores
from bnnbench.experiment.doubts import doubts, tiny_inputs
from bnnbench.experiment.evaluation import Row
from bnnbench.experiment.finished import say_finished
from bnnbench.experiment.progress import Reporter, closing_table, make_console, sparsity_table
from bnnbench.experiment.snapshot import restore, state_of
from bnnbench.experiment.stopping import Stop, heard
from bnnbench.experiment.timing import Clock
from bnnbench.inference.potential import Potential, kl_weight
from bnnbench.inference.random import begin, derive_seed, layer_stream
from bnnbench.layers import noise as layer_noise
from bnnbench.layers.base import StochasticLayer
from bnnbench.layers.fused.step import prepare_layers
from bnnbench.layers.sparsity import sparsity_rows
from bnnbench.schedules import convergence_warning
from bnnbench.store import checkpoint, sources
from bnnbench.store.folder import RunFolder, is_finished, named_path, now, run_path
from bnnbench.store.manifest import Manifest
from bnnbench.tasks.measures import COLUMNS


def run(raw: Mapping[str, Any], console: Console | None = None) -> Path:
    """Run the resolved configuration `raw` and return the run's folder; a finished run is reported and left untouched.

    Raises:
        ConfigError: the configuration is wrong, by itself or for this dataset; nothing was written.
        DataError: a data file is missing or wrong; nothing was written.
        DivergedError: loss or parameters stopped being finite; what was recorded stays, with error.txt.
        BnnbenchError: the folder is in use by another process.
        KeyboardInterrupt: it was asked to stop; what was done is kept.
    """
    console = console or make_console(records=True)
    config = check(raw)
    path = run_path(raw)
    if path != named_path(raw):
        what = sources.changed(Manifest.read(named_path(raw)), config.data.root)
        console.print(
            f"note: {what} is not what {named_path(raw)} was made with, which stays. Other data or code make another "
            f"run: {path}",
            soft_wrap=True,
            highlight=False,
        )
    if is_finished(path) and not config.force:
        say_finished(path, console)
        return path
    config, remark = _with_threads_of(path, config)
    with machine.memory_told():
        parts = assemble(config)
    config = parts.config
    if remark:
        console.print(f"note: {remark}", highlight=False, soft_wrap=True)
    folder = RunFolder(raw, (*COLUMNS, *(measure.name for measure in parts.own_measures)))
    try:
        stream = layer_stream(
            [derive_seed(config.seed, k, "layers") for k in range(config.chains)], parts.device, config.random
        )
        users = called("training") if sources.modules_of(raw) else contextlib.nullcontext()
        with heard() as stop, machine.memory_told(), stream, users:
            rows, sparsity = _train(config, parts, folder, stop, console)
    except KeyboardInterrupt:
        folder.interrupt()
        raise
    except BnnbenchError as error:
        folder.fail(str(error), traceback.format_exc() if error.__cause__ is not None else "")  # of the user's code
        raise
    except OSError as error:  # most likely a full disk
        place = error.filename if isinstance(error.filename, str) else folder.path
        why = f"{place}: {error.strerror or error}. What was recorded stays; run again."
        with contextlib.suppress(OSError):
            folder.fail(why)  # two small files: removing a partial one may have made room
        raise StorageError(why) from error
    except Exception as error:
        folder.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        raise
    finally:
        folder.close()
    console.print(closing_table(rows, config.method.label, folder.manifest))
    if sparsity:
        console.print(sparsity_table(sparsity))
    for doubt in folder.manifest.get("doubts") or []:
        console.print(f"note: {doubt}", highlight=False, soft_wrap=True)
    console.print(f"results: {folder.path}", soft_wrap=True, highlight=False)
    if stop.asked:  # in the last step: this run is done, the next one of a sweep must not begin
        raise KeyboardInterrupt
    return folder.path


def _with_threads_of(path: Path, config: RunConfig) -> tuple[RunConfig, str]:
    """Return `config` with the number of threads that the run at `path` began with, and a line if that is not today's.

    Only a run that goes on, and where nobody chose a number: rounding depends on it.
    """
    begun = Manifest.read(path).get("threads")
    goes_on = (path / checkpoint.NAME).is_file() and not config.force
    if not goes_on or config.threads != "auto" or not isinstance(begun, int) or begun < 1:
        return config, ""
    present = machine.threads_for("auto")
    if begun == present or machine.threads_given():
        return config, ""
    remark = f"goes on with {begun} thread{'s' * (begun > 1)}, as it began; here threads=auto would be {present}"
    return replace(config, threads=begun), remark


def _train(
    config: RunConfig, parts: Parts, folder: RunFolder, stop: Stop, console: Console
) -> tuple[list[Row], list[Row]]:
    """Train, evaluate and record; return the rows of the last evaluation and those of sparsity.csv.

    Raises:
        KeyboardInterrupt: `stop` was asked, before the last step; a checkpoint is written.
    """
    state = folder.resume(anew=config.force)
    iteration, rows = 0, list[Row]()
    clock = Clock(parts.device)
    if folder.remark:
        console.print(f"note: {folder.remark}", highlight=False, soft_wrap=True)
    if state is not None:
        iteration, rows, clock = restore(parts, state)
        console.print(f"resumed at iteration {iteration} of {parts.iterations}", highlight=False)
        moved = machine.moved(folder.manifest, parts.device, parts.threads)
        if moved is not None:
            console.print(f"note: begun with {moved}: the last digits may differ", highlight=False, soft_wrap=True)
    _announce(config, parts, folder, console)
    _prepare(parts)
    lr_start = float(config.method.optimizer["lr"])
    approximation, normalisation, guard = parts.approximation, parts.normalisation, parts.guard
    if state is None:
        normalisation.on_iteration(0)
    else:
        normalisation.on_resume(iteration)
    every = config.eval.every or parts.iterations
    saved = time.perf_counter()
    reporter = Reporter(config.method.label, parts.iterations, iteration, console, folder.manifest)
    clock.begin()
    with contextlib.closing(reporter):
        while iteration < parts.iterations:
            lr = lr_start * parts.schedule(iteration)
            beta = kl_weight(config.method.kl, iteration / parts.batches.steps_per_epoch)
            begin(iteration, parts.noise)
            loss = step(parts.optimizer, parts.potential, *parts.batches(iteration), lr, beta)
            iteration += 1
            checked = guard.add(loss, lr)
            if checked:
                guard.check(iteration)
                reporter.step(iteration)
            normalisation.on_iteration(iteration)

            member = approximation.observe(iteration, lr)
            last = iteration == parts.iterations
            due = iteration % every == 0 or last
            if member or due:
                guard.check(iteration)
                clock.lap("train")
                evaluated = parts.evaluator(member=member, rows=due, iteration=iteration, per_datum=last)
                clock.lap("eval")
                if due:
                    rows = _complete(evaluated, iteration, lr, guard.mean(), parts, clock)
                    folder.append(rows)
                    reporter.scores(iteration, rows)
                if last:  # before the last checkpoint: a run that goes on from there makes no prediction any more
                    folder.keep_per_datum(parts.evaluator.per_datum)
                    folder.doubt(doubts(parts, rows, parts.evaluator.per_datum))
            elif not (checked or stop.asked):
                continue
            overdue = (due or checked) and time.perf_counter() - saved >= config.checkpoint_every
            if last or stop.asked or overdue:
                clock.lap("eval" if member or due else "train")
                folder.checkpoint(state_of(parts, iteration, rows, clock))
                saved = time.perf_counter()
            if stop.asked and not last:
                raise KeyboardInterrupt
            if member or due:
                clock.lap("eval")
    return rows, _conclude(parts, folder, rows, clock)


def _prepare(parts: Parts) -> None:
    """Compile what steps need, before the clock runs."""
    if hasattr(parts.optimizer, "prepare"):
        parts.optimizer.prepare()
    layer_noise.prepare()
    if parts.chains.count == 1 and parts.device.type == "cpu":  # chains run under vmap, by the plain formulas
        prepare_layers(parts.chains.network)


def _conclude(parts: Parts, folder: RunFolder, rows: list[Row], clock: Clock) -> list[Row]:
    """Record what the run ended with; return the rows of sparsity.csv."""
    sparsity = sparsity_rows(parts.chains.network, [parts.chains.state_of(k) for k in range(parts.chains.count)])
    if sparsity:
        folder.table("sparsity.csv", sparsity)
    final = {f"{row['split']}/{row['predictor']}/{row['chain']}": row for row in rows}
    spent = {f"{what}_seconds": seconds for what, seconds in clock.seconds.items()}
    folder.finish(final=final, **spent)
    return sparsity


def step(optimizer: Optimizer, potential: Potential, x: Tensor, y: Tensor, lr: float, beta: float = 1.0) -> Tensor:
    """Make one step of every chain on minibatches x [K, B, …], y [K, B]; return the losses [K] before it.

    Args:
        optimizer: its step size is set here.
        potential: the loss.
        lr: η of this step.
        beta: β_t of this step, the weight of the KL.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    if getattr(optimizer, "needs_closure", False):  # it differentiates the loss itself, twice
        kept: list[Tensor] = []

        def closure() -> Any:  # torch's annotation is float
            kept.append(potential(x, y, beta))
            return kept[-1].sum()

        optimizer.step(closure)
        return kept[0].detach()
    loss = potential(x, y, beta)
    optimizer.zero_grad(set_to_none=True)
    # The chains share no parameter, so the gradient of the sum is each chain's own.
    loss.sum().backward()
    optimizer.step()
    return loss.detach()


def _complete(rows: list[Row], iteration: int, lr: float, losses: list[float], parts: Parts, clock: Clock) -> list[Row]:
    """Return the rows of one evaluation with iteration, times, gradient evaluations and loss."""
    shared = {
        "iteration": iteration,
        "epoch": iteration / parts.batches.steps_per_epoch,
        "lr": lr,
        "train_seconds": clock.seconds["train"],
        "eval_seconds": clock.seconds["eval"],
    }
    done, passes = [], getattr(parts.optimizer, "backward_passes", 1)
    if getattr(parts.optimizer, "per_element", False):  # of the stacked parameters of all chains
        passes = 1 + (passes - 1) // len(losses)
    for row in rows:
        pooled = row["chain"] == "all"
        loss = sum(losses) / len(losses) if pooled else losses[row["chain"]]
        gradients = iteration * passes * (len(losses) if pooled else 1)
        done.append({**shared, **row, "grad_evals": gradients, "train_loss": loss})
    return done


def _warnings(config: RunConfig, parts: Parts, raw: dict[str, Any]) -> list[str]:
    """Return what the user should know about these settings, a sentence each."""
    temperature = parts.temperature
    warnings = [] if parts.narrow is None else [parts.narrow]
    if config.chosen:
        warnings += departures(raw | {"chosen": config.chosen})
    if temperature is None and config.temperature not in (1, "1/N"):
        warnings.append(f"temperature={config.temperature:g} is not used: {config.method.label} injects no noise")
    if temperature:
        broken = convergence_warning(config.schedule)
        if broken is not None:
            warnings.append(f"schedule={config.schedule['name']}: {broken}")
    if "." in config.dataset["name"]:
        warnings += tiny_inputs(parts)
    cores = usable_cores()
    if parts.threads > cores:
        warnings.append(
            f"threads={parts.threads}: this process may use {cores} core{'s' * (cores > 1)}; more threads wait for one "
            "another"
        )
    caveat = getattr(parts.optimizer, "caveat", None)
    if caveat is not None:
        warnings.append(f"method.optimizer: {caveat}")
    adapting = parts.optimizer.param_groups[0].get("v_adapt")
    if temperature and isinstance(adapting, int) and adapting > burn_in(config):
        warnings.append(
            f"method.optimizer.v_adapt: V learns for {adapting} iterations, two epochs, longer than the burn-in of "
            f"{burn_in(config)}: until then the members follow a V that moves"
        )
    epochs = parts.iterations / parts.batches.steps_per_epoch
    if parts.potential.has_kl and config.method.kl.full_from >= epochs:
        warnings.append(
            f"method.kl.full_from={config.method.kl.full_from:g}: the KL never has its full weight in "
            f"{epochs:.4g} epochs"
        )
    return warnings


def _announce(config: RunConfig, parts: Parts, folder: RunFolder, console: Console) -> None:
    """Write the manifest, and announce the run."""
    temperature, num_data = parts.temperature, len(parts.data.train)
    draws = any(isinstance(m, StochasticLayer) for m in parts.chains.network.modules())
    warnings = _warnings(config, parts, folder.raw)
    folder.note(
        error=None,
        start=folder.manifest.get("start") or now(),
        dataset=config.dataset["name"],
        model=config.model["name"],
        method=config.method.name,
        layers=config.method.layers["name"],
        label=config.method.label,
        num_data=num_data,
        parameters=parts.chains.size,
        temperature=temperature,
        iterations=parts.iterations,
        burn_in=burn_in(config),
        thin=config.members.thin,
        eval_every=config.eval.every,
        score=parts.task.score,
        noise=parts.noise.name if temperature is not None or draws else None,
        measures=[asdict(measure) for measure in parts.own_measures],
        warnings=warnings,
        sources=sources.record(
            parts.data.files, sources.modules_of(folder.raw), data_root(config.data.root), config.method.init_from
        ),
        **machine.describe(parts.device, parts.threads),
    )
    shown = "" if temperature is None else f", T = {temperature:.3g}"
    if temperature is not None and math.isclose(temperature * num_data, 1):
        shown = f", T = 1/N = {temperature:.3g}"
    console.print(
        f"{config.method.label} on {config.dataset['name']}: N = {num_data}, {parts.chains.size} parameters, "
        f"{config.chains} chain{'s' * (config.chains > 1)}{shown}, {parts.device} with "
        f"{parts.threads} thread{'s' * (parts.threads > 1)}",
        highlight=False,
        soft_wrap=True,
    )
    for warning in warnings:
        console.print(f"note: {warning}", highlight=False, soft_wrap=True)
