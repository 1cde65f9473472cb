"""The promises of a stochastic layer, over all layers found by file and each value of their options."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import pickle
import typing
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bnnbench.inference.chains import Chains
from bnnbench.layers.base import HasAlpha, HasKL, Prunable, StochasticLayer, Thresholded
from bnnbench.layers.conversion import convert, deconvert, kl, sampling
from bnnbench.layers.from_config import layer_classes
from bnnbench.layers.network import covered_by_kl, parameter_kinds
from bnnbench.layers.sparsity import log_alpha_of_weights

Make = Callable[[nn.Module], StochasticLayer]
GEOMETRIES = {
    "linear": (lambda: nn.Linear(5, 3), (4, 5)),
    "positions": (lambda: nn.Linear(5, 3, bias=False), (4, 2, 5)),
    "conv": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), (4, 2, 5, 5)),
    "grouped": (lambda: nn.Conv2d(4, 2, (2, 3), groups=2, dilation=(2, 1), bias=False), (4, 4, 5, 4)),
    "reflected": (lambda: nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect"), (4, 2, 4, 4)),
}


def variants() -> dict[str, Make]:
    """Return each layer with its default options, and with every other value of one of its choices."""
    table: dict[str, Make] = {}
    for name, layer in layer_classes().items():
        table[name] = layer
        defaults = inspect.signature(layer).parameters
        for option, hint in typing.get_type_hints(layer.__init__).items():
            values = (True, False) if hint is bool else typing.get_args(hint) if _is_choice(hint) else ()
            for value in values:
                make = functools.partial(layer, **{option: value})
                if value != defaults[option].default and _is_allowed(make):
                    table[f"{name} {option}={value}"] = make
    return table


def _is_choice(hint: object) -> bool:
    return typing.get_origin(hint) is typing.Literal


def _is_allowed(make: Make) -> bool:
    try:
        make(nn.Linear(1, 1))
    except ValueError:
        return False
    return True


LAYERS = variants()


@pytest.fixture(params=LAYERS)
def make(request: pytest.FixtureRequest) -> Make:
    """Return what makes a plain layer stochastic."""
    torch.manual_seed(0)
    return LAYERS[request.param]


@pytest.fixture(params=GEOMETRIES)
def plain(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    """Return a plain layer whose weights are far from 0, so that none is dropped, and an input batch, in float64."""
    torch.manual_seed(1)
    build, shape = GEOMETRIES[request.param]
    layer = build().double()
    with torch.no_grad():
        layer.weight.copy_(layer.weight.sign() * (0.5 + torch.rand_like(layer.weight)))
    return layer, torch.randn(shape, dtype=torch.float64)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 5), nn.ReLU(), nn.Linear(5, 3)
    )


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 1, 6, 6)


def test_every_file_with_a_layer_is_in_the_table() -> None:
    modules = {layer.__module__.rpartition(".")[2] for layer in layer_classes().values()}
    assert {"dropout", "gaussian_dropout", "mean_field", "sparse_vd", "vd"} <= modules
    assert len(LAYERS) > 2 * len(modules)  # options are varied


def test_it_takes_over_the_parameters_and_evaluates_as_the_plain_layer(
    make: Make, plain: tuple[nn.Module, Tensor]
) -> None:
    before, x = plain
    expected, parameters = before(x), dict(before.named_parameters())
    layer = make(before)
    assert all(getattr(layer, name) is parameter for name, parameter in parameters.items())
    assert list(dict(layer.named_parameters()))[: len(parameters)] == list(parameters)
    assert all(p.dtype == torch.float64 for p in layer.parameters())
    torch.testing.assert_close(layer.eval()(x), expected, rtol=0, atol=0)
    assert before.extra_repr() in repr(layer)


def test_it_draws_in_training_and_the_attribute_sample_overrides_the_mode(
    make: Make, plain: tuple[nn.Module, Tensor]
) -> None:
    before, x = plain
    layer = make(before)
    assert not torch.equal(layer(x), layer(x))
    layer.sample = False
    assert torch.equal(layer(x), layer(x))
    layer.eval()
    layer.sample = True
    assert not torch.equal(layer(x), layer(x))


def test_draws_have_the_mean_of_mean(make: Make, plain: tuple[nn.Module, Tensor]) -> None:
    before, x = plain
    layer, count = make(before), 4000
    with torch.no_grad():
        mean = layer.mean(x)
        draws = torch.vmap(lambda _: layer.draw(x), randomness="different")(torch.zeros(count))
    assert draws.shape == (count, *mean.shape)
    error = draws.std(0) / count**0.5
    assert (error > 0).all()
    assert ((draws.mean(0) - mean).abs() < 5.5 * error).all()


def test_conversion_there_and_back_keeps_class_geometry_weights_and_outputs(
    make: Make, plain: tuple[nn.Module, Tensor]
) -> None:
    before, x = plain
    expected, state = before(x), {n: t.clone() for n, t in before.state_dict().items()}
    after = deconvert(convert(before, make))
    assert type(after) is type(before)
    assert after.extra_repr() == before.extra_repr() or before.padding_mode != "zeros"  # 'same' may return as numbers
    assert list(after.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in after.state_dict().items())
    assert torch.equal(after(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_has_finite_gradients_even_for_weights_and_inputs_of_zero(make: Make, dtype: torch.dtype) -> None:
    whole, x = convert(network().to(dtype), make), images().to(dtype)
    with torch.no_grad():
        whole[3].weight[0] = 0.0
        x[0] = 0.0
    loss = whole(x).square().mean() + kl(whole) / 100
    assert loss.dtype == dtype
    loss.backward()
    for name, parameter in whole.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_kl_is_a_finite_scalar_of_the_parameters_it_covers(make: Make) -> None:
    whole = convert(network(), make)
    layers = [m for m in whole.modules() if isinstance(m, StochasticLayer)]
    assert len(layers) == 3
    if not isinstance(layers[0], HasKL):
        assert kl(whole) == 0
        assert covered_by_kl(whole) == set()
        assert "variational" not in parameter_kinds(whole).values()
        return
    for layer in layers:
        value = layer.kl()
        assert value.shape == ()
        assert value.isfinite()
    value = kl(whole)
    if not value.requires_grad:
        return  # no prior
    gradients = torch.autograd.grad(value, list(whole.parameters()), allow_unused=True)
    reached = {n for (n, _), g in zip(whole.named_parameters(), gradients, strict=True) if g is not None and g.any()}
    assert reached
    assert reached <= covered_by_kl(whole)
    assert all(g.isfinite().all() for g in gradients if g is not None)


def test_alpha_and_mask_have_the_shapes_of_the_protocols(make: Make, plain: tuple[nn.Module, Tensor]) -> None:
    layer = make(plain[0])
    if isinstance(layer, HasAlpha):
        assert layer.current_log_alpha().shape in ((), (layer.in_units,), layer.weight.shape)
        assert log_alpha_of_weights(layer).shape == layer.weight.shape
        assert log_alpha_of_weights(layer).isfinite().all()
    if isinstance(layer, Prunable):
        assert layer.kept().shape == layer.weight.shape
        assert layer.kept().dtype == torch.bool
    if isinstance(layer, Thresholded):
        layer.threshold = -8.0
        assert torch.equal(layer.kept(), layer.current_log_alpha() <= -8.0)


def test_its_state_goes_to_another_layer_a_copy_and_a_file(make: Make) -> None:
    layer, x = make(nn.Linear(4, 3)), torch.randn(2, 4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.sub_(torch.rand_like(parameter))
    layer(x).sum().backward()
    other = make(nn.Linear(4, 3))
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        for of in (lambda m: m(x), lambda m: m.eval()(x), kl):
            torch.manual_seed(3)
            expected = of(layer)
            torch.manual_seed(3)
            torch.testing.assert_close(of(twin), expected)
        layer.train()


def test_stacked_chains_have_their_own_noise_and_their_own_kl(make: Make) -> None:
    chains = Chains(lambda: convert(network(), make), [7, 7, 7], torch.device("cpu"))
    x = images()
    torch.manual_seed(0)
    outputs = chains(x, shared=True)  # of equal networks: only the noise can differ
    assert outputs.shape == (3, 6, 3)
    for a, b in itertools.combinations(range(3), 2):
        assert not torch.allclose(outputs[a], outputs[b], rtol=1e-6, atol=1e-7)
    torch.manual_seed(0)
    assert torch.equal(chains(x, shared=True), outputs)
    divergence = chains.kl()
    assert divergence.shape == (3,)
    (outputs.square().mean((1, 2)) + divergence / 100).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in chains.parameters.values())
    with chains.mode(False):
        outputs = chains(x, shared=True)
        assert torch.equal(outputs[0], outputs[1])
        assert torch.equal(outputs, chains(x, shared=True))
        with sampling(chains.network, True):
            assert not torch.equal(chains(x, shared=True), outputs)
    with torch.no_grad():
        for parameter in chains.parameters.values():
            parameter[1] -= 0.1  # μ and ρ, log σ² or log α
    second = {name: p[1] for name, p in chains.parameters.items()}
    with chains.mode(False):
        torch.testing.assert_close(chains(x, shared=True)[1], torch.func.functional_call(chains.network, second, (x,)))
    with torch.no_grad():  # it may be a Monte Carlo estimate
        stacked = torch.stack([chains.kl()[1] for _ in range(50)])
        alone = torch.stack([kl(chains.network, second) for _ in range(50)])
    error = ((stacked.var() + alone.var()) / 50).sqrt()
    assert (stacked.mean() - alone.mean()).abs() <= 5 * error + 1e-5 * alone.mean().abs()
