"""Splits, preprocessing, out-of-distribution sets and users' own sets, whatever the format of the files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnnbench.data import data_root
from bnnbench.errors import ConfigError, DataError

TABLE = """
import numpy as np
TASK, CLASSES = "regression", None
def load(root, part, scale: float = 1.0):
    n = {"train": 40, "test": 10}[part]
    random = np.random.default_rng(n)
    x = random.normal(3.0, 2.0, size=(n, 4)) * scale
    x[:, 3] = 0.1 if part == "train" else 0.35       # constant in training alone
    return x, 100 + 7 * random.normal(size=n)
"""


def test_mnist_is_divided_and_shaped(load, write_idx, tmp_path):
    images, labels = write_idx(tmp_path / "MNIST/raw", "train", 30)
    write_idx(tmp_path / "MNIST/raw", "test", 12, seed=1)
    data = load({"name": "mnist", "divide": 126}, tmp_path)
    assert (data.targets.name, data.targets.classes, data.in_shape) == ("classification", 10, (1, 28, 28))
    assert (len(data.train), len(data.evaluation["test"]), list(data.evaluation)) == (30, 12, ["test"])
    assert data.train.x.dtype == torch.float32
    assert data.train.y.dtype == torch.int64
    np.testing.assert_allclose(data.train.x[:, 0].numpy(), images / 126, rtol=1e-6)
    np.testing.assert_array_equal(data.train.y.numpy(), labels)


def test_validation_points_leave_the_training_set_and_are_the_same_for_all_seeds(load, write_idx, tmp_path):
    images, _ = write_idx(tmp_path / "MNIST/raw", "train", 50)
    write_idx(tmp_path / "MNIST/raw", "test", 5)
    config = {"name": "mnist", "divide": 255, "valid": 20}
    one, two = load(config, tmp_path, seed=1), load(config, tmp_path, seed=2)
    valid = one.evaluation["valid"]
    assert (len(one.train), len(valid)) == (30, 20)
    assert torch.equal(valid.x, two.evaluation["valid"].x)
    union = torch.cat([one.train.x, valid.x]).flatten(1).sum(1).sort().values
    everything = torch.tensor(images / 255).flatten(1).sum(1).sort().values
    np.testing.assert_allclose(union, everything, rtol=1e-5)
    other = load({**config, "valid_seed": 1}, tmp_path).evaluation["valid"]
    assert not torch.equal(valid.x, other.x)
    assert len(load({**config, "valid": 0.1}, tmp_path).evaluation["valid"]) == 5


def test_valid_seed_null_follows_the_run(load):
    config = {"name": "digits", "divide": 16, "valid": 100, "valid_seed": None}
    x = [load(config, seed=seed).evaluation["valid"].x for seed in (1, 2, 1)]
    assert torch.equal(x[0], x[2])
    assert not torch.equal(x[0], x[1])


@pytest.mark.parametrize("valid", [50, 51, 0.999, 0.001])
def test_validation_set_must_leave_points_on_both_sides(load, write_idx, tmp_path, valid):
    write_idx(tmp_path / "MNIST/raw", "train", 50)
    with pytest.raises(ConfigError, match=r"dataset.valid=.* of 50 training points; at least 1 and at most 49"):
        load({"name": "mnist", "valid": valid}, tmp_path)


def test_statistics_come_from_the_training_part_alone(load, user_set):
    config = {"name": user_set(TABLE), "center": "standardise", "valid": 15}
    data = load(config)
    train, valid = data.train.x.double(), data.evaluation["valid"].x.double()
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0, correction=0)[:3], 1, atol=1e-6)
    assert valid.mean(0)[:3].abs().max() > 1e-3  # it would be nearer 0 if the held-out points had been looked at
    assert (train[:, 3] == 0).all()  # a constant feature is divided by 1, not by a rounding error
    np.testing.assert_allclose(data.evaluation["test"].x[:, 3], 0.25, rtol=1e-5)


def test_mean_image_subtracts_the_training_mean_of_each_pixel(load, write_idx, tmp_path):
    images, _ = write_idx(tmp_path / "MNIST/raw", "train", 30)
    tests, _ = write_idx(tmp_path / "MNIST/raw", "test", 12, seed=1)
    data = load({"name": "mnist", "divide": 256, "center": "mean_image"}, tmp_path)
    expected = tests / 256 - images.mean(axis=0) / 256
    np.testing.assert_allclose(data.evaluation["test"].x[:, 0], expected, atol=1e-6)


def test_ood_set_is_prepared_with_the_training_sets_statistics(load, write_idx, tmp_path):
    images, _ = write_idx(tmp_path / "MNIST/raw", "train", 30)
    write_idx(tmp_path / "MNIST/raw", "test", 12)
    others, labels = write_idx(tmp_path / "KMNIST/raw", "test", 9, seed=5)  # its training split is not there
    data = load({"name": "mnist", "divide": 255, "center": "standardise"}, tmp_path, ood=["kmnist"])
    expected = (others - images.mean(axis=0)) / images.std(axis=0)
    np.testing.assert_allclose(data.ood["kmnist"].x[:, 0], expected, atol=1e-4)
    np.testing.assert_array_equal(data.ood["kmnist"].y, labels)


def test_ood_set_of_another_shape_is_refused(load, write_idx, tmp_path):
    write_idx(tmp_path / "KMNIST/raw", "test", 9)
    with pytest.raises(
        DataError, match=r"kmnist: inputs of shape \(1, 28, 28\), but those of 'digits' have \(1, 8, 8\)"
    ):
        load({"name": "digits"}, tmp_path, ood=["kmnist"])


def test_regression_targets_can_be_taken_back_to_original_units(load, user_set):
    name = user_set(TABLE)
    data, plain = load({"name": name}), load({"name": name, "standardise_target": False})
    assert data.targets.name == "regression"
    assert data.train.y.dtype == torch.float32
    np.testing.assert_allclose(data.train.y.double().mean(), 0, atol=1e-6)
    np.testing.assert_allclose(data.train.y.double().std(correction=0), 1, atol=1e-6)
    assert (plain.targets.target_mean, plain.targets.target_std) == (0.0, 1.0)
    for split in ("train", "test"):
        standard = data.train if split == "train" else data.evaluation[split]
        original = plain.train if split == "train" else plain.evaluation[split]
        np.testing.assert_allclose(
            standard.y * data.targets.target_std + data.targets.target_mean, original.y, rtol=1e-5
        )


def test_options_of_a_users_set_reach_it(load, user_set):
    name = user_set(TABLE)
    twice = load({"name": name, "scale": 2}).train.x
    np.testing.assert_allclose(twice[:, :3], 2 * load({"name": name}).train.x[:, :3], rtol=1e-6)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("np.zeros((3, 2)), np.array([0, 1, 2])", r"labels in 0…1 expected, 0…2 found"),
        ("np.zeros((3, 2)), np.array([0.0, 1.0, 1.0])", r"integer labels expected"),
        ("np.zeros((3, 2)), np.array([0, 1])", r"\[3, 2\] and \[2\] found"),
        ("np.full((2, 2), np.nan), np.array([0, 1])", r"x has values that are not finite"),
    ],
)
def test_what_a_users_set_returns_is_checked(load, user_set, body, message):
    name = user_set(f"import numpy as np\nTASK, CLASSES = 'classification', 2\ndef load(root, part): return {body}\n")
    with pytest.raises(DataError, match=message):
        load({"name": name})


def test_root_argument_wins_over_environment_over_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root(None) == tmp_path / "cache/bnnbench"
    monkeypatch.setenv("BNNBENCH_DATA", str(tmp_path / "env"))
    assert data_root(None) == tmp_path / "env"
    assert data_root(str(tmp_path / "argument")) == tmp_path / "argument"
    monkeypatch.delenv("BNNBENCH_DATA")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root(None) == tmp_path / ".cache/bnnbench"


def test_missing_file_says_what_where_and_how_to_get_it(load, tmp_path):
    with pytest.raises(DataError) as error:
        load({"name": "mnist"}, tmp_path)
    for part in (
        "train-images-idx3-ubyte",
        str(tmp_path / "MNIST/raw"),
        "`bnnbench data fetch mnist`",
        "BNNBENCH_DATA",
    ):
        assert part in str(error.value)
