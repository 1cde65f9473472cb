"""What a run takes for granted of a network, tried out before it begins."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bnnbench.errors import ConfigError

BATCH = 4


@torch.no_grad()
def check_outputs(network: nn.Module, in_shape: tuple[int, ...], outputs: int, name: str) -> None:
    """Pass two inputs of zeros through `network`, in evaluation mode, and look at what comes out.

    A network that is too wide would train all the same, and share its probabilities among classes that do not exist.

    Raises:
        ConfigError: it fails, or its outputs are not [2, outputs] numbers of single or double precision.
    """
    modes = {module: module.training for module in network.modules()}
    x = torch.zeros(2, *in_shape)  # in single precision, as data are
    try:
        with torch.random.fork_rng(devices=[]):  # it may draw, whatever its mode
            y = network.eval()(x)
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"model.name={name}: its network fails on inputs {list(x.shape)}: {type(error).__name__}: {said}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    if not isinstance(y, Tensor) or y.shape != (2, outputs) or y.dtype not in (torch.float32, torch.float64):
        found = f"{str(y.dtype).removeprefix('torch.')} {list(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ConfigError(
            f"model.name={name}: its network maps inputs {list(x.shape)} to {found}. "
            f"It must return outputs [2, {outputs}] in single precision: build(in_shape, outputs) says how many."
        )


def check_graph(network: nn.Module, in_shape: tuple[int, ...], name: str) -> None:
    """Pass inputs through a user's `network` in training mode, and ask whether autograd can follow.

    Raises:
        ConfigError: the outputs do not depend on the parameters as far as autograd knows.
    """
    clone, state = copy.deepcopy(network).train(), torch.get_rng_state()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(state)
            y = clone(torch.randn(BATCH, *in_shape, generator=torch.Generator().manual_seed(0)))
    except Exception:  # what it does with such inputs is for the run to find out
        return
    if any(p.requires_grad for p in clone.parameters()) and not y.requires_grad:
        raise ConfigError(
            f"model.name={name}: its outputs have no gradient: something between parameters and outputs cuts the "
            "graph, such as detach(), no_grad() or a way through numpy."
        )


@torch.no_grad()
def check_conduct(network: nn.Module, in_shape: tuple[int, ...], name: str) -> None:
    """Pass inputs through clones of a user's `network`, and compare what must not differ.

    Raises:
        ConfigError: it changes its inputs or parameters, in evaluation mode its buffers, or puts other tensors in their
            places, which chains and checkpoints would not follow; it draws numbers that no seed of torch's reaches; its
            prediction for an input depends on the others of the batch.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, *in_shape, generator=generator)
    for training in (False, True):
        try:
            first, again = (_passed(network, x, training, name) for _ in range(2))
        except ConfigError:
            raise
        except Exception:  # what it does with such inputs, or in training, is for the run to find out
            return
        if not _alike(first, again):
            raise ConfigError(
                f"model.name={name}: its network draws random numbers that the run's seed does not reach. "
                "Take those of torch, without a generator of your own."
            )
    if any(getattr(module, "track_running_stats", None) is False for module in network.modules()):
        return  # a normalisation by the batch's own statistics: bn_stats has a word on it
    alone = _passed(network, x[:1], False, name)
    if not _draws(network, x, name) and not _alike(alone, _passed(network, x, False, name)[:1]):
        raise ConfigError(
            f"model.name={name}: its prediction for an input depends on the other inputs of the batch, in evaluation "
            "mode too. Each must depend on its own input alone."
        )


def check_build(network: nn.Module, again: nn.Module, name: str) -> None:
    """Compare the parameters of two networks, built from the same state of torch's generator.

    Raises:
        ConfigError: they differ: the initial values come from elsewhere.
    """
    other = dict(again.named_parameters())
    if any(key not in other or not _alike(p, other[key]) for key, p in network.named_parameters()):
        raise ConfigError(
            f"model.name={name}: build() draws initial values that the run's seed does not reach. Take random numbers "
            "of torch, without a generator of your own."
        )


def _passed(network: nn.Module, x: Tensor, training: bool, name: str, seed: int = 0) -> Tensor:
    """Return the outputs of a clone, after a look at what the pass has done to it and to `x`."""
    clone, given = copy.deepcopy(network).train(training), x.clone()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = _tensors(clone)
        values = {key: tensor.clone() for key, tensor in before.items()}
        y = clone(given)
    after, buffers = _tensors(clone), {key for key, _ in clone.named_buffers()}
    mode = "training" if training else "evaluation"
    if not torch.equal(given, x):
        raise ConfigError(f"model.name={name}: its network changes its inputs in place. Work on a copy: x = x.clone().")
    for key in {**before, **after}:
        if after.get(key) is not before.get(key):
            raise ConfigError(
                f"model.name={name}: its network puts another tensor in the place of '{key}' in {mode} mode. "
                "Change it in place: tensor.copy_(…)."
            )
        if not (training and key in buffers) and not _alike(values[key], after[key]):
            raise ConfigError(
                f"model.name={name}: its network changes '{key}' in {mode} mode. "
                + ("Parameters change by training alone." if key not in buffers else "Do so in training mode alone.")
            )
    return y


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _draws(network: nn.Module, x: Tensor, name: str) -> bool:
    """Whether the network draws in evaluation mode."""
    return not _alike(_passed(network, x, False, name), _passed(network, x, False, name, seed=1))


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)
