"""Seeds, noise and minibatches: functions of their names, independent of how many chains run."""

from __future__ import annotations

import math

import pytest
import torch

from bnnbench.data import Split
from bnnbench.errors import ConfigError
from bnnbench.inference.minibatches import Minibatches
from bnnbench.inference.random import ROLES, CounterNoise, Noise, derive_seed, noise_source


def test_every_name_has_its_own_seed() -> None:
    names = [(s, k, r, e) for s in range(3) for k in range(4) for r in ROLES for e in range(3)]
    assert len({derive_seed(*n) for n in names}) == len(names)
    assert derive_seed(0, 0, "init") == derive_seed(0, 0, "init")
    with pytest.raises(ValueError, match="role"):
        derive_seed(0, 0, "nosie")


def test_noise_is_standard_normal_and_independent_across_chains_tensors_and_steps() -> None:
    noise = Noise([1, 2])
    shapes = [torch.empty(2, 100, 50), torch.empty(2, 5000)]
    first = [t.clone() for t in noise(shapes)]
    second = [t.clone() for t in noise(shapes)]
    streams = torch.stack([t[k].reshape(-1) for t in (*first, *second) for k in range(2)])  # [8, 5000]
    n = streams.shape[1]
    assert (streams.mean(1).abs() < 4.5 / math.sqrt(n)).all()
    assert ((streams.var(1) - 1).abs() < 4.5 * math.sqrt(2 / n)).all()
    correlation = torch.corrcoef(streams) - torch.eye(8)
    assert (correlation.abs() < 4.5 / math.sqrt(n)).all()


def test_a_chains_noise_does_not_depend_on_its_neighbours() -> None:
    alone = Noise([7])([torch.empty(30), torch.empty(4, 5)])
    together = Noise([5, 7, 9])([torch.empty(3, 30), torch.empty(3, 4, 5)])
    assert torch.equal(alone[0], together[0][1])
    assert torch.equal(alone[1], together[1][1])


def test_the_noise_continues_from_its_state() -> None:
    noise, like = Noise([1, 2]), [torch.empty(2, 40)]
    noise(like)
    saved = noise.state_dict()
    expected = noise(like)[0].clone()
    noise(like)
    noise.load_state_dict(saved)
    assert torch.equal(noise(like)[0], expected)


def drawn(noise: CounterNoise, *shapes: tuple[int, ...], step: int = 0) -> list[torch.Tensor]:
    noise.begin(step)
    return noise([torch.empty(shape) for shape in shapes])


def test_counted_noise_is_independent_across_chains_tensors_draws_and_steps() -> None:
    noise, like = CounterNoise([1, 2]), [torch.empty(2, 100, 50), torch.empty(2, 5000)]
    parts = []
    for step in (0, 1):
        noise.begin(step)
        parts += [t for _ in range(2) for t in noise(like)]
    streams = torch.stack([t[k].reshape(-1) for t in parts for k in range(2)])  # [16, 5000]
    n = streams.shape[1]
    assert (streams.mean(1).abs() < 4.5 / math.sqrt(n)).all()
    assert ((streams.var(1) - 1).abs() < 4.5 * math.sqrt(2 / n)).all()
    assert ((torch.corrcoef(streams) - torch.eye(16)).abs() < 4.5 / math.sqrt(n)).all()


def test_counted_noise_is_a_function_of_seed_and_step() -> None:
    alone = drawn(CounterNoise([7]), (30,), (4, 5), step=3)
    together = drawn(CounterNoise([5, 7, 9]), (3, 30), (3, 4, 5), step=3)
    assert all(torch.equal(one, three[1]) for one, three in zip(alone, together, strict=True))
    noise = CounterNoise([7])
    drawn(noise, (30,), (4, 5), step=2)
    assert torch.equal(drawn(noise, (30,), (4, 5), step=3)[0], alone[0])


def test_counted_noise_never_comes_back_without_a_step() -> None:
    noise, like = CounterNoise([0]), [torch.empty(4)]
    firsts = {noise(like)[0][0].item() for _ in range(100)}
    assert len(firsts) == 100
    with pytest.raises(ValueError, match="other seeds"):
        noise.load_state_dict(CounterNoise([1]).state_dict())


def test_a_run_has_counted_noise_on_a_cpu_alone() -> None:
    assert isinstance(noise_source("counter", [0], torch.device("cpu")), CounterNoise)
    assert isinstance(noise_source("torch", [0], torch.device("cpu")), Noise)


def split(n: int = 23) -> Split:
    return Split(torch.arange(n).float()[:, None], torch.arange(n))


def test_an_epoch_visits_each_datum_at_most_once_and_another_chain_in_another_order() -> None:
    batches = Minibatches(split(), 5, chains=2, seed=0, shuffle=True)
    assert batches.steps_per_epoch == 23 / 5
    epoch = torch.cat([batches(t)[1] for t in range(4)], dim=1)  # [2, 20]
    for order in epoch:
        assert len(order.unique()) == 20
    assert not torch.equal(epoch[0], epoch[1])
    assert not torch.equal(epoch, torch.cat([batches(t)[1] for t in range(4, 8)], dim=1))


def test_a_minibatch_is_a_function_of_seed_and_iteration_alone() -> None:
    forward = Minibatches(split(), 5, chains=2, seed=0, shuffle=True)
    expected = [forward(t) for t in range(12)]
    for t in (11, 0, 7):
        x, y = Minibatches(split(), 5, chains=2, seed=0, shuffle=True)(t)
        assert torch.equal(x, expected[t][0])
        assert torch.equal(y, expected[t][1])
        assert torch.equal(x[..., 0].long(), y)  # x and y stay together
    other = Minibatches(split(), 5, chains=2, seed=1, shuffle=True)(0)[1]
    assert not torch.equal(other, expected[0][1])
    fewer = Minibatches(split(), 5, chains=1, seed=0, shuffle=True)(3)[1]
    assert torch.equal(fewer[0], expected[3][1][0])


def test_every_datum_is_seen_equally_often_in_the_long_run() -> None:
    batches, epochs = Minibatches(split(), 5, chains=1, seed=0, shuffle=True), 400
    count = torch.bincount(torch.cat([batches(t)[1][0] for t in range(4 * epochs)]), minlength=23)
    p = 20 / 23
    assert ((count / epochs - p).abs() < 4.5 * math.sqrt(p * (1 - p) / epochs)).all()


def test_file_order_goes_round() -> None:
    batches = Minibatches(split(7), 3, chains=2, seed=0, shuffle=False)
    assert batches(0)[1].tolist() == [[0, 1, 2]] * 2
    assert batches(1)[1].tolist() == [[3, 4, 5]] * 2
    assert batches(2)[1].tolist() == [[6, 0, 1]] * 2
    assert batches(3)[0][0, :, 0].tolist() == [2, 3, 4]


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="Take at most 23"):
        Minibatches(split(), 24, chains=1, seed=0, shuffle=True)
