"""A training step never waits for the device, and the loops that the bench times."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bnnbench.bench.bare import bare_loop, careful_psgld, careful_sgld
from bnnbench.bench.loops import MLP, bnnbench_loop
from bnnbench.bench.setting import NOISE
from bnnbench.config.composition import compose as composition
from bnnbench.data import Split
from bnnbench.experiment.assembly import assemble, check
from bnnbench.experiment.run import step
from bnnbench.samplers.psgld import PSGLD
from bnnbench.samplers.sgld import SGLD

# Ways of Python to a tensor's numbers. Not all reach the dispatcher: on a CPU `tolist` reads the memory itself.
READS = {"item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "__array__", "nonzero"}


class NoRead(TorchFunctionMode):
    """Refuses every call from Python that brings numbers of a tensor to the host."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in READS:
            raise AssertionError(f"host synchronisation: Tensor.{func.__name__}")
        return func(*args, **(kwargs or {}))


class NoScalar(TorchDispatchMode):
    """Refuses the kernel behind `item`, also where torch itself calls it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise AssertionError("host synchronisation: aten::_local_scalar_dense")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("guard", [NoRead, NoScalar])
@pytest.mark.parametrize("read", [torch.Tensor.item, bool, float], ids=["item", "bool", "float"])
def test_the_guards_notice(guard, read):
    with pytest.raises(AssertionError, match="host synchronisation"), guard():
        read(torch.ones(()))


def test_only_the_outer_guard_notices_tolist():
    with pytest.raises(AssertionError, match="tolist"), NoRead():
        torch.ones(2).tolist()


@pytest.mark.parametrize("chains", [1, 3])
@pytest.mark.parametrize(
    "overrides",
    [
        ("method=sgd",),
        ("method=rmsprop",),
        ("method=sgld",),
        ("method=batchnorm_sgld",),
        ("method=psgld", "method.optimizer.gamma=none"),
        ("method=psgld", "method.optimizer.gamma=hutchinson", "method.optimizer.v_adapt=always"),
        ("method=sgld", "prior.name=laplace"),
    ],
    ids=" ".join,
)
def test_a_step_makes_no_host_synchronisation(compose: Callable[..., dict[str, Any]], overrides, chains):
    config = check(compose("model.widths=[16]", "threads=1", f"chains={chains}", *overrides))
    parts = assemble(config)
    with NoRead(), NoScalar():
        for iteration in range(3):  # the first makes the optimiser's state
            loss = step(parts.optimizer, parts.potential, *parts.batches(iteration), 1e-3)
            parts.guard.add(loss, 1e-3)
    assert loss.isfinite().all()


def test_the_bare_loop_learns():
    x = torch.rand(250, 28, 28, generator=torch.Generator().manual_seed(0))
    train = Split(x - 0.5, (x[:, 0, 0] > 0.5).long())
    train.x[:, :14] += 0.2 * (2 * train.y - 1).float()[:, None, None]
    advance = bare_loop(train)
    advance(60)  # many times over the data
    network = inside(advance)["network"]
    assert (network(train.x).argmax(-1) == train.y).float().mean() > 0.9


@pytest.mark.parametrize(
    ("careful", "sampler"),
    [
        (careful_sgld, functools.partial(SGLD, lr=0.1)),
        (careful_psgld, functools.partial(PSGLD, lr=2.5e-4, lambda_=1e-4)),
    ],
    ids=["SGLD", "pSGLD"],
)
def test_the_careful_lines_are_the_samplers(careful, sampler):
    train = Split(torch.rand(250, 4, 4), torch.randint(10, (250,)))

    def made(update):
        torch.manual_seed(0)
        advance = bare_loop(train, [8], update=update)
        advance(5)
        return list(inside(advance)["network"].parameters())

    ours = made(lambda parameters: sampler(parameters, num_data=250, weight_decay=1 / 250))
    for a, b in zip(made(careful(train)), ours, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_measured_loop_is_that_of_a_run(compose, run_small):
    raw = compose("model.widths=[16]", "epochs=10", "members.burn_in=50", "eval.every=50", "threads=1", "method=sgd")
    advance, train = bnnbench_loop(raw)
    advance(140)
    folder = run_small("method=sgd")
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert saved["iteration"] == 140
    parameters = inside(advance)["potential"].chains.parameters
    assert all(torch.equal(value, parameters[name]) for name, value in saved["chains"]["parameters"].items())
    assert len(train) > 1000


def inside(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the variables that a closure keeps."""
    return dict(zip(function.__code__.co_freevars, (c.cell_contents for c in function.__closure__), strict=True))


def test_noise_of_mnists_shape_can_be_taken(tmp_path):
    _, train = bnnbench_loop(composition([*NOISE, MLP, "method=sgd", f"data.root={tmp_path}", "threads=1"]))
    assert train.x.shape == (60_000, 28, 28)
    assert train.x.min() >= 0 and train.x.max() <= 1
    assert train.y.unique().tolist() == list(range(10))
