"""Memory and disk are estimated before anything is made: what cannot fit is refused in two lines, at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.cli import invoke
from support.records import manifest_of

from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.experiment import assembly, machine, needs

GIB = 2**30
SHORT = ("iterations=6", "eval.every=3", "members.burn_in=2", "members.thin=1", "threads=1")
# Prints the estimate and the growth of the process's peak, after a tiny run has loaded what every run loads.
MEASURE = """
import io, resource, sys
from rich.console import Console
from bnnbench.config.composition import compose
from bnnbench.experiment import needs
from bnnbench.experiment.run import run

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

quiet, short = Console(file=io.StringIO()), ["iterations=6", "eval.every=3", "members.burn_in=2", "threads=1"]
run(compose(["method=sgd", "model.widths=[4]", "name=warm", *short]), quiet)
check, seen = needs.check, []
needs.check = lambda *given: (seen.extend((given[0].memory, peak())), check(*given))[1]
run(compose([*sys.argv[1:], *short]), quiet)
print(seen[0], peak() - seen[1])
"""


def of(compose: Callable[..., Any], *overrides: str) -> needs.Needs:
    config = assembly.check(compose(*overrides))
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(needs, "check", lambda *given: seen.append(given[0]))
        assembly.assemble(config)
    return seen[0]


def test_parameters_by_hand(compose: Callable[..., Any]) -> None:
    small = ("model.widths=[7]", "threads=1", "batch_size=50")
    size = 64 * 7 + 7 + 7 * 10 + 10
    for method, tensors in {"sgd": 3, "adam": 5, "sgld": 4, "psgld": 5, "rmsprop": 4}.items():  # θ, ∇, state, noise, 1
        found = of(compose, f"method={method}", "chains=3", *small)
        assert found.parameters == 3 * 4 * size * tensors, method
    assert found.training == 2 * 4 * 3 * 50 * (64 + 64 + 7 + 7 + 10)  # input, flattened, before and after ReLU, logits
    assert found.evaluation > 3 * 359 * 10 * 8


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.widths=[200000,200000]",),
        ("model.widths=[30000,30000,30000,30000,30000,30000,30000,30000,30000,30000]", "method=adam"),
        ("chains=200000", "method=sgld"),
        ("chains=1438000", "batch_size=1000"),
        ("method=sparse_vd", "model.widths=[90000,90000]"),
    ],
)
def test_what_cannot_fit_is_refused_at_once(overrides: tuple[str, ...], here: Path) -> None:
    began = time.process_time()
    done = invoke("run", *overrides)
    assert done.exit_code == 1
    assert "this run needs about" in done.stderr and "GiB of memory" in done.stderr and "Take a smaller" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert time.process_time() - began < 20
    assert not (here / "results" / "adhoc").exists()


def test_what_may_not_fit_is_said(run_small: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    one = needs.Needs(parameters=10 * GIB, training=GIB, evaluation=2 * GIB, disk=0)
    assert one.memory == 12 * GIB
    for there, warned in ((16 * GIB, False), (14 * GIB, True)):
        monkeypatch.setattr(needs, "memory_available", lambda device, there=there: there)
        said = needs.check(one, ".", torch.device("cpu"))
        assert (said is not None) == warned
    assert said == "this run needs about 12 GiB of memory; 14 GiB are free"
    monkeypatch.setattr(needs, "memory_available", lambda device: 11 * GIB)
    with pytest.raises(ConfigError, match=r"needs about 12 GiB of memory; 11 GiB are free \(parameters, .* 10 GiB, a"):
        needs.check(one, ".", torch.device("cpu"))
    monkeypatch.setattr(needs, "check", lambda *given: "this run needs about a lot")
    assert "this run needs about a lot" in manifest_of(run_small("method=sgd", *SHORT))["warnings"]


def test_a_disk_that_is_too_small_is_said_before_the_folder_is_made(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "_disk_free", lambda path: 100_000)
    done = invoke("run", "method=adam", *SHORT)
    assert done.exit_code == 1
    assert "MiB of disk; 0.0954 MiB are free (3 checkpoints at a time)" in done.stderr and "results=…" in done.stderr
    assert not list((here / "results").rglob("metrics.csv"))


def test_checkpoints_need_what_was_said(run_small: Callable[..., Path], compose: Callable[..., Any]) -> None:
    overrides = ("method=adam", "model.widths=[300]", *SHORT)
    size = (run_small(*overrides) / "checkpoint.pt").stat().st_size
    assert of(compose, *overrides).disk == pytest.approx(3 * size, rel=0.15)


def test_a_network_that_cannot_be_built_without_memory_is_not_estimated(
    run_small: Callable[..., Path], user_package: Callable[..., None]
) -> None:
    user_package(
        "own",
        net="""
import numpy as np
import torch
from torch import nn


def build(in_shape, outputs):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
    net[1].weight.data = torch.from_numpy(net[1].weight.data.numpy() * 0.5)
    return net
""",
    )
    assert run_small("method=sgd", "model.name=own.net", "~model.activation", "~model.widths", *SHORT).is_dir()


def test_memory_and_disk_are_those_of_the_system(tmp_path: Path) -> None:
    available = needs.memory_available(torch.device("cpu"))
    if sys.platform == "linux":
        assert available is not None and 2**20 < available < 2**50
    free = needs._disk_free(tmp_path / "not" / "yet" / "there")
    assert free is not None and free > 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize(
    "overrides",
    [
        ("method=sgd", "model.widths=[4000,4000]"),
        ("method=adam", "model.widths=[4000,4000]"),
        ("method=psgld", "model.widths=[4000,4000]"),
        ("method=psgld", "model.widths=[2000,2000]", "chains=4"),
        ("method=sparse_vd", "model.widths=[3000,3000]"),
        ("method=mean_field", "model.widths=[3000,3000]"),
    ],
)
def test_the_peak_of_a_process_is_near_the_estimate(overrides: tuple[str, ...], here: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, *overrides], capture_output=True, text=True, check=True)
    estimate, real = map(int, done.stdout.split()[-2:])
    assert real / 1.6 < estimate < 1.6 * real


def test_memory_that_runs_out_all_the_same_is_told_in_two_lines() -> None:
    with pytest.raises(BnnbenchError, match=r"^not enough memory") as caught, machine.memory_told():
        torch.empty(2**50)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("group", "limits", "free"),
    [
        ("0::/a/b", {"memory.max": "max", "a/memory.max": 7 * GIB, "a/b/memory.max": "max"}, 5 * GIB),
        ("0::/a/b", {"a/memory.max": 9 * GIB, "a/b/memory.max": 6 * GIB}, 4 * GIB),
        ("4:cpu,cpuacct:/x\n3:memory:/y", {"memory/y/memory.limit_in_bytes": 3 * GIB}, GIB),
        ("0::/gone", {"memory.max": 8 * GIB}, 6 * GIB),
    ],
)
def test_limits_of_all_groups_around_a_process_count(
    group: str, limits: dict[str, Any], free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group + "\n")
    for name, value in limits.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        used = file.with_name({"memory.max": "memory.current"}.get(file.name, "memory.usage_in_bytes"))
        used.write_text(f"{2 * GIB}\n")
    monkeypatch.setattr(needs, "PROC", tmp_path / "proc")
    monkeypatch.setattr(needs, "CGROUPS", tmp_path / "cgroup")
    assert needs.memory_available(torch.device("cpu")) == free
