"""The file formats, on small files: what is read, and what is said of a wrong one."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
import torch

from bnnbench.data import verify_data
from bnnbench.errors import DataError

IDX = [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]


@pytest.mark.parametrize(("name", "folder"), IDX)
def test_idx_family_reads_plain_and_gzipped_files(load, write_idx, tmp_path, name, folder):
    raw = tmp_path / folder / "raw"
    images, labels = write_idx(raw, "train", 20)
    write_idx(raw, "test", 7)
    plain = load({"name": name}, tmp_path)
    for path in list(raw.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = load({"name": name}, tmp_path)
    assert torch.equal(plain.train.x, packed.train.x)
    np.testing.assert_array_equal(packed.train.x[:, 0].numpy(), images)
    np.testing.assert_array_equal(packed.train.y.numpy(), labels)


def cut(content):
    return content[:-5]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "train-images-idx3-ubyte",
            cut,
            r"15696 bytes expected \(20×28×28 and a header of 16\), 15691 found: truncated",
        ),
        ("train-images-idx3-ubyte", lambda c: c + b"x", "15697 found: too long"),
        ("train-images-idx3-ubyte", lambda c: c[:9], "header of 16 bytes expected, 9 bytes found"),
        ("train-images-idx3-ubyte", lambda c: b"\0\0\x0d" + c[3:], "magic 0x00000803 expected, 0x00000d03 found"),
        ("train-images-idx3-ubyte", lambda c: c[:11] + b"\x20" + c[12:], "28×28 pixels expected, 32×28 found"),
        ("train-labels-idx1-ubyte", lambda c: c[:7] + b"\x13" + c[8:-1], "20 train images, but 19 labels"),
        ("train-labels-idx1-ubyte", lambda c: c[:-1] + b"\x0a", r"labels in 0…9 expected, 0…10 found"),
    ],
)
def test_wrong_idx_file_is_told_with_expected_and_found(load, write_idx, tmp_path, file, change, message):
    raw = tmp_path / "KMNIST/raw"
    write_idx(raw, "train", 20)
    write_idx(raw, "test", 7)
    labels = raw / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:8] + bytes(range(10)) * 2)
    (raw / file).write_bytes(change((raw / file).read_bytes()))
    with pytest.raises(DataError, match=message) as error:
        load({"name": "kmnist"}, tmp_path)
    assert "kmnist" in str(error.value)


def test_truncated_gzip_is_a_data_error(load, write_idx, tmp_path):
    raw = tmp_path / "MNIST/raw"
    write_idx(raw, "train", 20)
    path = raw / "train-images-idx3-ubyte"
    (raw / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes())[:-100])
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load({"name": "mnist"}, tmp_path)


def test_verify_compares_idx_counts_with_the_official_ones(write_idx, tmp_path):
    write_idx(tmp_path / "KMNIST/raw", "test", 7)
    with pytest.raises(DataError, match="10000 images expected, 7 found"):
        verify_data("kmnist", str(tmp_path))


def test_verify_reports_absent_files_and_raises_if_all_are(write_idx, tmp_path):
    write_idx(tmp_path / "KMNIST/raw", "test", 10_000)
    lines = verify_data("kmnist", str(tmp_path))
    assert lines[0] == "kmnist: train-images-idx3-ubyte: absent"
    assert "10000×28×28" in lines[2]
    with pytest.raises(DataError, match="fetch fashion_mnist"):
        verify_data("fashion_mnist", str(tmp_path))
    write_idx(tmp_path / "MNIST/raw", "test", 10_000)  # the right size, but not the published content
    with pytest.raises(DataError, match="md5 2646ac647ad5339dbf082846283269ea expected"):
        verify_data("mnist", str(tmp_path))


def write_cifar(root, n=4, core="numpy._core"):
    """Write the six batches as the published ones are: protocol 2, keys as Python 2 wrote them; return the images."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, size=(6 * n, 3 * 32 * 32), dtype=np.uint8)
    for i, file in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]):
        batch = {"data": images[i * n : (i + 1) * n], "labels": [i, 9, 0, 1][:n]}
        content = pickle.dumps(batch, protocol=2)
        for found in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
            content = content.replace(found, core.encode() + b".multiarray")
        (folder / file).write_bytes(content)
    return images


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_cifar10_batches(load, tmp_path, core):
    images = write_cifar(tmp_path, core=core)
    data = load({"name": "cifar10", "divide": 255}, tmp_path)
    assert (len(data.train), len(data.evaluation["test"]), data.in_shape) == (20, 4, (3, 32, 32))
    np.testing.assert_allclose(data.train.x.flatten(1), images[:20] / 255, rtol=1e-6)
    assert data.train.y.tolist()[::4] == [0, 1, 2, 3, 4]
    assert data.evaluation["test"].y.tolist() == [5, 9, 0, 1]


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}, protocol=2)[:-40], "not a whole data"),
        (pickle.dumps({"data": np.zeros((2, 99), np.uint8), "labels": [0, 1]}, protocol=2), r"\[2, 99\] and 2 labels"),
        (pickle.dumps({"labels": [0, 1]}, protocol=2), "not a whole data batch: 'data'"),
        (pickle.dumps({"data": Evil(), "labels": [0]}, protocol=2), "system has no place in a data batch"),
    ],
)
def test_wrong_cifar10_batch(load, tmp_path, content, message):
    write_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load({"name": "cifar10"}, tmp_path)


def test_verify_cifar10_compares_md5(tmp_path):
    write_cifar(tmp_path)
    with pytest.raises(DataError, match="md5 c99cafc152244af753f735de768cd75f expected"):
        verify_data("cifar10", str(tmp_path))


def write_a9a(root, train="-1 3:1 123:1 \n+1 1:1 \n", test="+1 122:1 \n"):
    (root / "libsvm").mkdir()
    (root / "libsvm/a9a").write_text(train)
    (root / "libsvm/a9a.t").write_text(test)


def test_a9a_is_dense_with_123_features(load, tmp_path):
    write_a9a(tmp_path)
    data = load({"name": "a9a"}, tmp_path)
    assert data.train.x.nonzero().tolist() == [[0, 2], [0, 122], [1, 0]]
    assert data.train.y.tolist() == [0, 1]
    assert data.evaluation["test"].x.shape == (1, 123)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("-1 3:1 \n+1 1:1 5", "ends in the middle of line 2: truncated"),
        ("-1 3:1 \n+1 124:1\n", r"line 2: '±1 index:value …' with index 1…123 expected, '\+1 124:1' found"),
        ("-1 3:1 \n2 12:1\n", "line 2: .* '2 12:1' found"),
        ("-1 0:1\n", "line 1"),
    ],
)
def test_wrong_a9a_file(load, tmp_path, train, message):
    write_a9a(tmp_path, train)
    with pytest.raises(DataError, match=message):
        load({"name": "a9a"}, tmp_path)


def write_uci(root, folder="yacht", **changes):
    files = {
        "data": "1 10 100\n2 20 200\n3 30 300\n4 40 400\n\n",
        "index_features": "0\n2\n",
        "index_target": "1\n",
        "index_train_3": "3\n0\n1\n",
        "index_test_3": "2\n",
        **changes,
    }
    where = root / "uci" / folder
    where.mkdir(parents=True)
    for file, text in files.items():
        (where / f"{file}.txt").write_text(text)


def test_uci_takes_rows_and_columns_from_the_index_files(load, tmp_path):
    write_uci(tmp_path)
    config = {"name": "yacht", "split": 3, "standardise_target": False}
    data = load(config, tmp_path)
    assert data.train.x.tolist() == [[4, 400], [1, 100], [2, 200]]
    assert data.train.y.tolist() == [40, 10, 20]
    assert data.evaluation["test"].y.tolist() == [30]
    with pytest.raises(DataError, match=r"no index_train_4.txt in .*yacht"):
        load({**config, "split": 4}, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "1 2 x\n"}, "data.txt: not a table of numbers"),
        ({"data": "1 2 3\n4 5\n"}, "data.txt: not a table of numbers"),
        ({"index_train_3": "0\n4\n"}, r"index_train_3.txt: whole numbers in 0…3 expected .* 0…4 found"),
        ({"index_target": "0\n1\n"}, "1 column expected, 2 found"),
    ],
)
def test_wrong_uci_file(load, tmp_path, changes, message):
    write_uci(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        load({"name": "yacht", "split": 3}, tmp_path)


def test_digits_split_is_stratified_fixed_and_complete(load):
    data = load({"name": "digits", "divide": 16}, seed=3)
    test = data.evaluation["test"]
    assert (len(data.train), len(test), data.in_shape) == (1438, 359, (1, 8, 8))
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    counts = torch.bincount(data.train.y) + torch.bincount(test.y)
    assert (torch.bincount(test.y) - 0.2 * counts).abs().max() <= 0.5
    # The split is part of the benchmark: these numbers must never change.
    assert test.y[:12].tolist() == DIGITS_TEST_LABELS
    assert round(test.x.sum().item() * 16) == DIGITS_TEST_SUM


DIGITS_TEST_LABELS = [1, 4, 8, 6, 5, 9, 9, 1, 3, 2, 2, 2]
DIGITS_TEST_SUM = 112277


def test_digits_pixels_are_the_expected_ones():
    assert verify_data("digits") == ["digits: 1797 images of 8×8 shipped with scikit-learn, sha256 as expected"]
