"""Pieces shared among torch's threads: the same numbers, whoever does them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bnnbench.kernels import langevin, team
from bnnbench.samplers import PSGLD, SGLD

# None, one, a half pair; a piece, a piece and a half pair, several pieces.
SIZES = (0, 1, 2, 3, 2 * langevin.PAIRS, 2 * langevin.PAIRS + 1, 5 * langevin.PAIRS + 7)
NUMBERS = {
    "sgld": (0.01, 0.1, 0.2),
    "psgld_held": (0.01, 0.1, 0.3, 0.2),
    "psgld": (0.01, 0.1, 0.1, 0.9, 0.1, 1.5, 0.3, 0.2),
}


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def made(rule: str, threads: int, sizes: tuple[int, ...] = SIZES) -> list[torch.Tensor]:
    """Return parameters and V after a step on tensors of these sizes."""
    g = torch.Generator().manual_seed(1)
    function = getattr(langevin, rule)
    arrays = [[torch.rand(n, generator=g) + 0.1 for n in sizes] for _ in range(function.arrays)]
    addresses = tuple(np.array([t.data_ptr() for t in tensors], np.int64) for tensors in arrays)
    keys = np.arange(2 * len(sizes), dtype=np.uint32).reshape(-1, 2)
    function(addresses, np.array(sizes, np.int64), keys, 5, *NUMBERS[rule], threads=threads)
    return [*arrays[0], *arrays[-1]]


@pytest.mark.parametrize("rule", NUMBERS)
def test_the_numbers_do_not_depend_on_the_threads(rule: str) -> None:
    alone = made(rule, 1)
    for threads in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(alone, made(rule, threads), strict=True))


def test_a_tensor_in_pieces_is_that_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made("psgld", 1, (1001,))
    langevin._cut.cache_clear()
    monkeypatch.setattr(langevin, "PAIRS", 17)
    cut = made("psgld", 2, (1001,))
    langevin._cut.cache_clear()
    assert all(torch.allclose(a, b, rtol=1e-6, atol=0) for a, b in zip(whole, cut, strict=True))


POOL = """
from pathlib import Path
import torch
from bnnbench.kernels import team
from kernels.test_team import made

def threads():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Threads:")]
    return int(line.split()[1])

torch.set_num_threads(2)
alone = threads()
torch.mm(torch.ones(300, 300), torch.ones(300, 300))
(torch.rand(1 << 20) + 1).sum()
torchs = threads()
calls = []
parallel = team._parallel()
team._parallel = lambda: lambda *given: (calls.append(given[2]), parallel(*given))
made("sgld", 2)
print(torchs - alone, threads() - torchs, calls)
"""


@pytest.mark.skipif(team._parallel() is None, reason="torch has no GOMP_parallel here")
def test_pieces_are_done_by_torchs_own_threads() -> None:
    """A second thread is there once torch has worked, and none comes with ours."""
    folder = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", POOL], cwd=folder, capture_output=True, text=True, check=True)
    torchs, ours, calls = done.stdout.strip().split(" ", 2)
    assert (int(torchs) >= 1, ours, calls) == (True, "0", "[2]")


def test_without_such_a_function_the_calling_thread_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made("sgld", 2)
    monkeypatch.setattr(team, "_parallel", lambda: None)
    assert all(torch.equal(a, b) for a, b in zip(expected, made("sgld", 2), strict=True))


@pytest.mark.parametrize("rule", [SGLD, PSGLD])
def test_samplers_make_the_same_steps_with_any_number_of_threads(rule: type, threads: None) -> None:
    from bnnbench.inference.random import CounterNoise

    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        p = torch.nn.Parameter(torch.ones(3, 50_001))
        noise = CounterNoise([1, 2, 3])
        sampler = rule([p], lr=0.01, num_data=10, noise=noise)
        for step in range(4):
            noise.begin(step)
            p.grad = torch.full_like(p, 0.5)
            sampler.step()
        found.append(p.detach())
    assert torch.equal(*found)


def test_a_rule_given_too_few_numbers_says_which() -> None:
    none = np.empty(0, np.int64)
    with pytest.raises(TypeError, match="lr, decay, sd"):
        langevin.sgld((none, none), none, np.empty((0, 2), np.uint32), 0, 0.1)
