"""The real files, where BNNBENCH_DATA names a folder that has them; otherwise skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bnnbench.data import verify_data


def need(root: str, path: str) -> None:
    if not (Path(root) / path).exists():
        pytest.skip(f"{path} is not in BNNBENCH_DATA")


def test_mnist(load, real_root):
    need(real_root, "MNIST/raw")
    data = load({"name": "mnist", "divide": 255, "valid": 10_000})
    assert (len(data.train), len(data.evaluation["valid"]), len(data.evaluation["test"])) == (50_000, 10_000, 10_000)
    assert data.evaluation["test"].y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert abs(load({"name": "mnist", "divide": 255}).train.x.double().mean() - 0.1306604) < 1e-6  # the known mean
    assert all("as expected" in line for line in verify_data("mnist"))


def test_kmnist_test_split_alone_serves_as_ood(load, real_root):
    need(real_root, "MNIST/raw")
    need(real_root, "KMNIST/raw/t10k-images-idx3-ubyte")
    ood = load({"name": "mnist", "divide": 255}, ood=["kmnist"]).ood["kmnist"]
    assert ood.x.shape == (10_000, 1, 28, 28)
    assert torch.bincount(ood.y).tolist() == [1000] * 10


def test_a9a(load, real_root):
    need(real_root, "libsvm/a9a")
    data = load({"name": "a9a"})
    assert (data.train.x.shape, data.train.y.sum().item()) == ((32_561, 123), 7841)
    test = data.evaluation["test"]
    assert (test.x.shape, test.y.sum().item()) == ((16_281, 123), 3846)
    assert sorted(data.train.x.unique().tolist()) == [0, 1]
    assert (test.x[:, 122] == 0).all()
    assert len(verify_data("a9a")) == 2


@pytest.mark.parametrize(
    ("name", "folder", "rows", "features"),
    [
        ("boston", "bostonHousing", 506, 13),
        ("concrete", "concrete", 1030, 8),
        ("wine", "wine-quality-red", 1599, 11),
        ("yacht", "yacht", 308, 6),
    ],
)
def test_uci(load, real_root, name, folder, rows, features):
    need(real_root, f"uci/{folder}")
    for split in (0, 19):
        data = load({"name": name, "split": split, "center": "standardise"})
        assert len(data.train) + len(data.evaluation["test"]) == rows
        assert data.in_shape == (features,)
        assert data.train.x.mean(0).abs().max() < 1e-5
        assert abs(data.train.y.std(correction=0).item() - 1) < 1e-5
    assert "43 files" in verify_data(name)[0]
