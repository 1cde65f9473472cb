"""What a command loads: no compiler where nothing is compiled, and no torch where nothing is left to run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TINY = ("dataset=digits", "model.widths=[4]", "iterations=2", "members.burn_in=0", "members.thin=1", "threads=1")
NEVER = ("torch._dynamo", "sympy", "pandas", "matplotlib", "torchvision")
CODE = """
import sys
from bnnbench.cli.app import app
try:
    app(sys.argv[2:], prog_name="bnnbench")
except SystemExit as end:
    assert not end.code, end.code
loaded = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
assert not loaded, f"loaded: {loaded}"
"""


def bnnbench(here: Path, without: tuple[str, ...], *words: str) -> str:
    """Return the output of ``bnnbench <words>`` in a process of its own, which must not load `without`."""
    command = [sys.executable, "-c", CODE, ",".join(without), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    "method",
    [
        ("method=sgld",),
        ("method=adam", "chains=2"),
        ("method=sparse_vd", "model=cnn", "~model.widths"),
        ("method=bbb",),
    ],
    ids=" ".join,
)
def test_a_run_loads_no_compiler(here: Path, method: tuple[str, ...]) -> None:
    words = [word for word in TINY if "~model.widths" not in method or "widths" not in word]
    bnnbench(here, NEVER, "run", *(word for word in method if word != "~model.widths"), *words)


def test_a_finished_run_loads_no_torch_and_gets_the_same_answer(here: Path, run_words: Callable[..., str]) -> None:
    run_words("run", "method=sgd", *TINY)
    quick = bnnbench(here, ("torch", *NEVER), "run", "method=sgd", *TINY)
    assert quick.startswith("finished already: results/adhoc/digits-mlp-sgd-")
    (manifest,) = here.rglob("manifest.json")
    manifest.write_text(manifest.read_text().replace('"bnnbench": "', '"bnnbench": "0.0.0, once '))  # to be checked
    assert run_words("run", "method=sgd", *TINY) == quick


def test_a_finished_sweep_loads_no_torch(here: Path, run_words: Callable[..., str]) -> None:
    for method in ("sgd", "adam"):
        run_words("run", f"method={method}", *TINY)
    said = bnnbench(here, ("torch", *NEVER), "run", "-m", "method=sgd,adam", *TINY)
    assert "2 runs, 2 finished before" in said


@pytest.fixture
def run_words(here: Path) -> Callable[..., str]:
    from support.cli import invoke

    def run(*words: str) -> str:
        result = invoke(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run
