"""Downloads from a server on this machine: the whole, checked file, or one clear error and nothing left behind."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import pytest

from bnnbench.data import a9a, fetch_data, verify_data
from bnnbench.data.files import download as downloading
from bnnbench.data.files import uci
from bnnbench.data.files.checksum import Checksum
from bnnbench.errors import DataError

CONTENT = {"a9a": b"-1 3:1 \n", "a9a.t": b"+1 4:1 \n"}


def sha256(content: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(content).hexdigest())


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def small_a9a(monkeypatch, server):
    """The server has a small a9a, whose checksums are taken for the published ones."""
    monkeypatch.setattr(a9a, "SHA256", {file: sha256(content) for file, content in CONTENT.items()})
    server.answers.update({f"/libsvm/{file}": content for file, content in CONTENT.items()})
    return server


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_good_file_is_fetched_once(small_a9a, tmp_path, load):
    root = tmp_path / "new/folder"
    assert fetch_data("a9a", str(root)) == [f"a9a: fetched into {root}"]
    assert files(root) == ["libsvm/a9a", "libsvm/a9a.t"]
    assert len(load({"name": "a9a"}, root).train) == 1
    assert set(small_a9a.requests) == {"/libsvm/a9a", "/libsvm/a9a.t"}
    small_a9a.requests.clear()
    fetch_data("a9a", str(root))
    assert small_a9a.requests == []  # what is there and right is not fetched again
    (root / "libsvm/a9a").write_text("spoilt")
    fetch_data("a9a", str(root))
    assert (root / "libsvm/a9a").read_bytes() == CONTENT["a9a"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((CONTENT["a9a"][:4], 8), rf"sha256 {sha256(CONTENT['a9a']).expected} expected, .* found \(4 bytes\)"),
        (b"something else", r"expected, .* found \(14 bytes\)"),
        (None, "the server answers 404 Not Found"),
    ],
    ids=["truncated", "wrong checksum", "404"],
)
def test_a_bad_answer_is_one_error_and_leaves_nothing(small_a9a, tmp_path, answer, message):
    small_a9a.answers["/libsvm/a9a"] = answer
    with pytest.raises(DataError, match=message) as error:
        fetch_data("a9a", str(tmp_path))
    assert f"{small_a9a.url}/libsvm/a9a" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_one_error_and_keeps_what_was_there(monkeypatch, tmp_path):
    monkeypatch.setenv("BNNBENCH_MIRROR", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "libsvm").mkdir()
    (tmp_path / "libsvm/a9a").write_text("old")
    with pytest.raises(DataError, match=r"a9a: could not download a9a;.*\n.*no connection"):
        fetch_data("a9a", str(tmp_path))
    assert files(tmp_path) == ["libsvm/a9a"]
    assert (tmp_path / "libsvm/a9a").read_text() == "old"


def test_a_silent_server_is_given_up(monkeypatch, tmp_path):
    import socket

    monkeypatch.setattr(downloading, "TIMEOUT", 0.2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("BNNBENCH_MIRROR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DataError, match="timed out"):
            fetch_data("a9a", str(tmp_path))
    assert socket.getdefaulttimeout() is None


def test_the_next_mirror_is_tried(server, tmp_path):
    server.answers["/good/file"] = b"whole"
    server.answers["/bad/file"] = b"half"
    urls = [f"{server.url}/{folder}/file" for folder in ("none", "bad", "good")]
    with downloading.staging(tmp_path) as staged:
        assert downloading.download(urls, staged, sha256(b"whole"), name="x").read_bytes() == b"whole"
        with pytest.raises(DataError) as error:
            downloading.download(urls[:2], staged, sha256(b"whole"), name="x")
    assert "404" in str(error.value)
    assert "4 bytes" in str(error.value)


def test_addresses_without_a_mirror_are_the_published_ones():
    assert downloading.addresses(["http://a/b/", "http://c"], "MNIST", "f") == ["http://a/b/f", "http://c/f"]


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write there"), downloading.staging(tmp_path / "file" / "below"):
        pass


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_are_fetched_unpacked_and_loadable(monkeypatch, server, tmp_path, write_idx, load, name, folder):
    from torchvision import datasets

    made = tmp_path / "made"
    write_idx(made, "train", 6)
    write_idx(made, "test", 3)
    packed = {path.name + ".gz": gzip.compress(path.read_bytes()) for path in made.iterdir()}
    resources = getattr(datasets, folder).resources
    assert sorted(file for file, _ in resources) == sorted(packed)
    monkeypatch.setattr(getattr(datasets, folder), "resources", [(f, md5(packed[f])) for f, _ in resources])
    server.answers.update({f"/{folder}/{file}": content for file, content in packed.items()})
    root = tmp_path / "root"
    fetch_data(name, str(root))
    assert files(root) == sorted(f"{folder}/raw/{path.name}" for path in made.iterdir())
    data = load({"name": name}, root)
    assert (len(data.train), len(data.evaluation["test"])) == (6, 3)


def test_torchvisions_checksums_guard_the_idx_files(server, tmp_path):
    server.answers["/KMNIST/train-images-idx3-ubyte.gz"] = gzip.compress(b"something else")
    with pytest.raises(DataError, match="md5 bdb82020997e1d708af4cf47b453dcf7 expected"):
        fetch_data("kmnist", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_cifar10_archive_is_unpacked(monkeypatch, server, tmp_path):
    from torchvision.datasets import CIFAR10

    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    archive_bytes = buffer.getvalue()
    server.answers["/cifar10/cifar-10-python.tar.gz"] = archive_bytes
    with pytest.raises(DataError, match="md5 c58f30108f718f92721af3b95e74349a expected"):
        fetch_data("cifar10", str(tmp_path))
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive_bytes))
    fetch_data("cifar10", str(tmp_path))
    assert files(tmp_path) == sorted(f"cifar-10-batches-py/{name}" for name in names)


def test_uci_files_are_fetched_and_checked_word_by_word(monkeypatch, server, tmp_path):
    listed = uci.checksums("yacht")
    assert len(listed) == 43
    small = {file: Checksum("sha256", hashlib.sha256(b"1 2").hexdigest(), words=True) for file in list(listed)[:3]}
    monkeypatch.setattr(uci, "checksums", lambda folder: small)
    server.answers.update({f"/uci/yacht/{file}": b"1\r\n2 \n" for file in small})  # other line ends, the same words
    fetch_data("yacht", str(tmp_path))
    assert files(tmp_path) == sorted(f"uci/yacht/{file}" for file in small)
    (tmp_path / "uci/yacht/data.txt").write_text("1 3")
    with pytest.raises(DataError, match=r"data.txt: sha256 .* expected, .* found"):
        verify_data("yacht", str(tmp_path))


def test_a_set_that_ships_with_a_library_needs_no_fetching(tmp_path):
    assert fetch_data("digits", str(tmp_path)) == ["digits: nothing to fetch."]
    assert list(tmp_path.iterdir()) == []
