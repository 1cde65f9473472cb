"""Where compiled code is kept, and what happens where it cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STEP = """
import sys
import torch
from bnnbench.inference.random import CounterNoise
from bnnbench.samplers import SGLD
p = torch.nn.Parameter(torch.ones(1001))
noise = CounterNoise([3])
sampler = SGLD([p], lr=0.1, num_data=10, noise=noise)
for step in range(3):
    noise.begin(step)
    p.grad = torch.ones(1001)
    sampler.step()
print(*p.tolist())
print("numba" in sys.modules)
"""


def step(cwd: Path, **environment: str) -> tuple[list[float], bool, str]:
    """Return the parameters after some steps in a process of its own, whether numba was loaded, and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", STEP], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    numbers, loaded = done.stdout.splitlines()
    return [float(number) for number in numbers.split()], loaded == "True", done.stderr


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    numbers, loaded, said = step(tmp_path_factory.mktemp("usual"))
    assert loaded and not said
    return numbers


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"BNNBENCH_KERNELS": "off"}, ""),
        ({"NUMBA_DISABLE_JIT": "1"}, "note: no compiled loops (RuntimeError: NUMBA_DISABLE_JIT is set)"),
        pytest.param({"XDG_CACHE_HOME": "/dev/null/x"}, "", marks=pytest.mark.slow),  # compiled anew
    ],
)
def test_the_numbers_are_the_same_whatever_makes_them(
    environment: dict[str, str], said: str, usual: list[float], tmp_path: Path
) -> None:
    numbers, _, heard = step(tmp_path, **environment)
    assert heard.count("note:") == bool(said) and said in heard
    assert numbers == pytest.approx(usual, rel=1e-5, abs=1e-5)
    assert not list(tmp_path.iterdir())


def test_code_is_kept_for_the_user_alone(usual: list[float], tmp_path: Path) -> None:
    place = tmp_path / "cache"
    numbers, _, _ = step(tmp_path, XDG_CACHE_HOME=str(place))
    assert numbers == usual
    (folder,) = (place / "bnnbench").iterdir()
    assert folder.name.startswith("loops-") and folder.stat().st_mode & 0o077 == 0
    assert list(folder.rglob("*.nbi"))
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


PREPARED = """
from bnnbench.config.composition import compose
from bnnbench.experiment.assembly import assemble, check
from bnnbench.experiment.run import _prepare, step
from bnnbench.inference.random import begin, layer_stream
from bnnbench.kernels import loops

def compiled():
    modules = [loops(name) for name in ("langevin", "layers", "normals")]
    found = {}
    for module in modules:
        for name, function in vars(module).items():
            if hasattr(function, "signatures"):
                found[module.__name__, name] = len(function.signatures)
            elif hasattr(function, "cache_info"):
                found[module.__name__, name] = function.cache_info().currsize if name.endswith("_pieces") else 0
    return found

for words in (
    "method=sgld",
    "method=psgld method.optimizer.v_adapt=2 method.optimizer.alpha=0.1",
    "method=mean_field",
    "method=vd",
    "method=sparse_vd",
    "method=dropout",
):
    parts = assemble(check(compose([*words.split(), "model.widths=[4]", "threads=1"])))
    with layer_stream([0], parts.device, "counter"):
        nothing = compiled()
        _prepare(parts)
        before = compiled()
        for iteration in range(8):
            begin(iteration, parts.noise)
            step(parts.optimizer, parts.potential, *parts.batches(iteration), 1e-3)
    print(words, before != nothing, compiled() == before, sep=",")
"""


def test_no_step_waits_for_a_compilation(tmp_path: Path) -> None:
    """What a run prepares before its clock starts is all that its steps call."""
    done = subprocess.run([sys.executable, "-c", PREPARED], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = [line.split(",") for line in done.stdout.splitlines()]
    assert len(lines) == 6
    for words, _, enough in lines:
        assert enough == "True", words
    assert [words for words, prepared, _ in lines if prepared == "True"] == ["method=sgld"] + [
        words for words, *_ in lines[1:5]
    ]
