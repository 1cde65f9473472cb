"""`bnnbench export`: a trained network as a plain one, dense or pruned, that needs neither the run nor its data.

network.pt       torch's state_dict of the plain network, nn.Linear and nn.Conv2d in place of stochastic layers
network.json     what `load_network` needs to rebuild the network of network.pt: model, sizes, normalisation, task, the
                 preprocessing of inputs with its statistics; and the threshold of log α that was applied, one per layer
                 if they differ, null if no layer drops weights
network_csr.pt   the weights as compressed sparse rows (`bnnbench.csr`), [out, in] or, of a convolution, [out, in·h·w];
                 everything else unchanged; and the content of network.json
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from bnnbench import __version__
from bnnbench.config import plugins
from bnnbench.data.loading.preprocess import Preprocess
from bnnbench.deploy.csr import from_csr, to_csr
from bnnbench.deploy.raw_inputs import OnRawInputs, describe, described
from bnnbench.deploy.trained import Trained, load_trained
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.experiment.progress import make_console
from bnnbench.layers.base import HasAlpha, Prunable
from bnnbench.layers.conversion import deconvert
from bnnbench.layers.normalisation import add_normalisation
from bnnbench.layers.sparsity import NO_ALPHA, count_weights, prune, threshold_of_layers
from bnnbench.models import build_network
from bnnbench.store import checkpoint, files, targets
from bnnbench.tasks.base import Task
from bnnbench.tasks.from_config import make_task

FORMAT = 1
DENSE, ABOUT, CSR = "network.pt", "network.json", "network_csr.pt"
State = dict[str, Tensor]
# Head → task, in files of format 1 from before tasks had names.
HEADS = {"softmax": "classification", "homoscedastic": "regression", "heteroscedastic": "regression"}


@dataclass
class Exported:
    """The files of an export, and the result of reading them again.

    Attributes:
        files: the networks written.
        weights, kept: |w| and |w ≠ 0|; biases do not count.
        unpruned: bytes of the plain network's state with no weight dropped.
        score: of the reloaded network on the test split, as metrics.csv has it: the error as a fraction, the RMSE in
            the target's units.
        differences: file → the largest difference of its outputs on the test split from the run's; 0 if all bits agree.
    """

    files: list[Path]
    weights: int
    kept: int
    unpruned: int
    score: float
    differences: dict[Path, float] = field(default_factory=dict)


def export(
    folder: str | Path,
    *,
    sparse: bool = False,
    chain: int = 0,
    threshold: float | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    allow_code: Sequence[str] = (),
    console: Console | None = None,
) -> Exported:
    """Write one chain's network of the run in `folder` as a plain one, read it back and compare its predictions.

    Args:
        folder: of the run.
        sparse: whether to write network_csr.pt too, which needs layers that can drop weights. Otherwise one from an
            earlier export, which would not match the new network.json, is removed. Either way the weights are those
            that the layers predict with: 0 where layers with a threshold, such as Sparse VD's, drop them.
        chain: which of the networks.
        threshold: of log α, in place of the layers' own; with `sparse` only.
        out: folder of the files; default: the run's.
        device: where predictions are compared.
        allow_code: see `load_trained`.
        console: where to print.

    Raises:
        ConfigError: nothing to prune by; a network whose predictions depend on the batch; no such chain.
        BnnbenchError: the predictions of a reloaded network are not those of the run; and see `load_trained`.
    """
    if threshold is not None and not sparse:
        raise ConfigError("--threshold: without --sparse the layers' own applies, if they have one. Add --sparse.")
    if threshold is not None and not math.isfinite(threshold):
        raise ConfigError(f"--threshold {threshold}: give a number.")
    targets.check_folder(out)
    console = console or make_console()
    trained = load_trained(folder, device, allow_code)
    network = trained.network(chain)
    if sparse:
        _check_prunable(trained, network, threshold)
    if threshold is not None:
        prune(network, threshold)
    network = trained.settle(network)
    target = Path(out) if out is not None else trained.folder
    target.mkdir(parents=True, exist_ok=True)
    applied = _thresholds(network, threshold)
    done = _write(trained, network, target, sparse, {"chain": chain, "threshold": applied})
    _compare(trained, network, done, allow_code)
    _print(trained, done, chain, threshold, applied, console)
    wrong = [f"{path.name} by up to {gap:.3g}" for path, gap in done.differences.items() if gap != 0]
    if wrong:
        raise BnnbenchError(f"{target}: the reloaded network does not predict as the run does: {', '.join(wrong)}.")
    return done


def _check_prunable(trained: Trained, network: nn.Module, threshold: float | None) -> None:
    drops = any(isinstance(m, Prunable) for m in network.modules())
    alpha = any(isinstance(m, HasAlpha) for m in network.modules())
    if not drops and not alpha:
        raise ConfigError(f"{trained.folder}: --sparse: {NO_ALPHA} Leave out --sparse.")
    if not drops and threshold is None:
        raise ConfigError(
            f"{trained.folder}: --sparse: these layers have no threshold of their own. Give --threshold; "
            "`bnnbench sparsity` shows what it costs."
        )


def _thresholds(network: nn.Module, given: float | None) -> float | dict[str, float] | None:
    """Return the threshold above which weights are 0 in the files, by layer if they differ; None if there is none."""
    if given is not None:
        return float(given)
    own = threshold_of_layers(network)
    return own if len(set(own.values())) > 1 else next(iter(own.values()), None)


def _write(trained: Trained, network: nn.Module, target: Path, sparse: bool, choice: dict[str, Any]) -> Exported:
    """Write the files of `network`, which still has the run's layers."""
    plain = deconvert(deepcopy(network))
    about = {**_about(trained), **choice, "iteration": trained.iteration}
    state = _state(plain)
    dense = target / DENSE
    (target / CSR).unlink(missing_ok=True)  # from an earlier export: it does not belong to the new files
    _save(state, dense)
    files.write(target / ABOUT, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    written = [dense]
    if sparse:
        names = {f"{n}.weight" if n else "weight" for n, m in plain.named_modules() if _has_rows(m)}
        rows = {name: to_csr(state[name]) for name in names}
        rest = {name: value for name, value in state.items() if name not in names}
        written.append(target / CSR)
        _save({"format": FORMAT, "about": about, "csr": rows, "dense": rest}, written[-1])
    size = _size(_state(deconvert(deepcopy(network), weight_of=lambda layer: layer.weight)))
    return Exported(written, *count_weights(plain), unpruned=size, score=float("nan"))


def _has_rows(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)


def _about(trained: Trained) -> dict[str, Any]:
    """Return what is needed to rebuild the network, as words and numbers."""
    config, data, task = trained.config, trained.parts.data, trained.parts.task
    return {
        "format": FORMAT,
        "bnnbench": __version__,
        "model": config.model,
        "in_shape": list(data.in_shape),
        "outputs": task.outputs,
        "norm": config.method.norm,
        "task": {"name": task.name, "classes": getattr(task, "classes", None), **task.options},
        "dataset": {k: v for k, v in config.dataset.items() if k != "budget"},
        "inputs": describe(data.prepare),
        "target_mean": getattr(task, "target_mean", 0.0),  # y in original units = output · std + mean
        "target_std": getattr(task, "target_std", 1.0),
        "method": config.method.name,
    }


def _state(network: nn.Module) -> State:
    """Return a copy of the state on the CPU; each tensor is stored by itself, not as a piece of a larger one."""
    state = network.state_dict()
    for name, value in state.items():
        state[name] = value.detach().to("cpu", copy=True).contiguous()
    return state


def _save(content: Any, path: Path) -> None:
    try:
        checkpoint.save(content, path)
    except OSError as error:
        raise BnnbenchError(f"{path}: {error.strerror or error}.") from error


def _size(state: State) -> int:
    """Return the bytes of the file that `state` would be saved to."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return len(stream.getvalue())


def load_network(path: str | Path, allow_code: Sequence[str] = (), *, prepared: bool = False) -> nn.Module:
    """Return the network in network.pt (with network.json beside it) or network_csr.pt, in evaluation mode.

    It takes rows [n, *in_shape] as the dataset's ``load`` returns them, with the run's preprocessing inside; and
    answers in the target's own units: logits for classes, (mean, variance) [n, 2] for numbers. Its attribute
    ``network`` is the plain network. Neither the data nor the run is needed.

    Args:
        path: of the file.
        allow_code: packages of your own, importable here, that hold the model or task; nothing else that the file
            names is imported.
        prepared: the plain network alone, for inputs and targets scaled as in training; its output for numbers is
            (μ, ρ), of variance softplus(ρ) + 1e-6.

    Raises:
        BnnbenchError: another kind of file, a damaged one, or one of an earlier version, without the statistics of
            its inputs. ConfigError: a model that this installation lacks.
    """
    path = Path(path)
    try:
        content = checkpoint.load(path)
        compressed = "csr" in content and "about" in content
        about = content["about"] if compressed else json.loads((path.parent / ABOUT).read_text("utf-8"))
        state = content
        if compressed:
            state = {**content["dense"], **{name: from_csr(stored) for name, stored in content["csr"].items()}}
        settings = (about["model"], tuple(about["in_shape"]), about["outputs"])
        norm = about["norm"]
        with plugins.only_code_of(allow_code):
            task = _task(about)
        prepare = None if prepared else _prepare(about)
    except FileNotFoundError as error:
        missing = Path(str(error.filename))
        beside = f" {DENSE} is read with {ABOUT} beside it." if missing.name == ABOUT else ""
        raise BnnbenchError(f"{missing}: no such file.{beside} `bnnbench export RUN` makes it.") from None
    except (checkpoint.DamagedError, *checkpoint.UNREADABLE):
        raise BnnbenchError(f"{path}: damaged, or not a file of `bnnbench export`. Export the run again.") from None
    with plugins.only_code_of(allow_code), torch.random.fork_rng(devices=[]):  # the initial values are replaced
        network = task.wrap(add_normalisation(build_network(*settings), norm))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise BnnbenchError(f"{path}: not the state of the model it names: {first}") from None
    if prepare is not None:
        network = OnRawInputs(network, prepare, settings[1], task.in_own_units)
    elif not prepared:
        raise BnnbenchError(
            f"{path}: written by an earlier version, without the statistics of its inputs. Export the run again, or "
            "give `load_network` prepared=True and inputs scaled as in training."
        )
    return network.eval()


def _task(about: Mapping[str, Any]) -> Task:
    """Return the task of an exported network; files of earlier versions name its head alone."""
    if "task" in about:
        section = dict(about["task"])
    else:
        head = about["head"]
        section = {"name": HEADS[head], "head": head, "classes": about["outputs"] if head == "softmax" else None}
    classes = section.pop("classes", None)
    task = make_task(section, dataset="", default=section["name"], classes=classes)
    if hasattr(task, "target_mean") and hasattr(task, "target_std"):
        task.target_mean, task.target_std = float(about.get("target_mean", 0.0)), float(about.get("target_std", 1.0))
    return task


def _prepare(about: Mapping[str, Any]) -> Preprocess | None:
    """Return the preprocessing of an exported network; None if the file, of an earlier version, has no statistics."""
    if "inputs" in about:
        return described(about["inputs"], about["in_shape"])
    dataset = about["dataset"]
    return Preprocess(float(dataset["divide"])) if dataset.get("center", "none") == "none" else None


@torch.no_grad()
def _compare(trained: Trained, network: nn.Module, done: Exported, allow_code: Sequence[str]) -> None:
    """Read the files back and set `done`'s score and differences, on the test split in the run's own batches."""
    parts, split = trained.parts, trained.parts.data.evaluation["test"]
    batches = parts.evaluator.batches(split.x)
    expected = torch.cat([network(batch) for batch in batches])
    for path in done.files:
        loaded = load_network(path, allow_code, prepared=True).to(parts.device)
        outputs = torch.cat([loaded(batch) for batch in batches])
        gap = (outputs.double() - expected.double()).abs().max().item()
        done.differences[path] = 0.0 if torch.equal(outputs, expected) else gap
    predictive = parts.task.predictive(split.y)
    predictive.add(parts.task.predict(outputs.double()).unsqueeze(0))
    done.score = parts.task.scores(predictive, split.y)[parts.task.score].item()


def _print(
    trained: Trained, done: Exported, chain: int, threshold: float | None, applied: Any, console: Console
) -> None:
    """Report what was written, its size, and whether it predicts as the run does."""

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True, markup=False)

    for note in trained.notes:
        say(f"note: {note}")
    table = Table(title=f"{trained.title}, chain {chain}", title_justify="left")
    for head in ("file", "bytes", "of the unpruned"):
        table.add_column(head, justify="left" if head == "file" else "right", no_wrap=True, overflow="fold")
    sizes = [("(plain, unpruned)", done.unpruned), *((path.name, path.stat().st_size) for path in done.files)]
    for name, size in sizes:
        table.add_row(name, f"{size:,}".replace(",", " "), f"{100 * size / done.unpruned:.1f} %")
    console.print(table)
    by = f" (log α ≤ {applied:g})" if isinstance(applied, float) else ""
    if done.kept < done.weights and len(done.files) == 1:
        say("note: dropped weights are stored as 0; --sparse stores only the rest")
    compression = f"|w|/|w ≠ 0| = {done.weights / done.kept:.4g}" if done.kept else "nothing is left"
    say(f"{done.weights} weights, {done.kept} kept{by}: {compression}")
    measure = next(measure for measure in trained.parts.task.recorded if measure.name == trained.parts.task.score)
    same = all(gap == 0 for gap in done.differences.values())
    run = "the run's" if threshold is None else "those of the run's layers at that threshold"
    verdict = f"predictions equal {run} to the bit" if same else f"predictions are NOT {run}"
    score = f"test {measure.words} {measure.text(done.score)}"
    say(f"read again from {' and '.join(path.name for path in done.files)}: {score}, {verdict}")
    last = [r for r in trained.rows if (r["split"], r["predictor"], r["chain"]) == ("test", "current", chain)]
    before = last[0].get(measure.name) if last else done.score
    if threshold is None and before != done.score:
        say(f"note: the run recorded {before}: other hardware, or all chains in one pass, rounds differently")
    for path in (done.files[0], done.files[0].with_name(ABOUT), *done.files[1:]):
        say(str(path))
