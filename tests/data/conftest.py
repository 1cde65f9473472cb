"""Small files in the formats of the real datasets, and a web server for the downloads."""

from __future__ import annotations

import functools
import http.server
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch, request):
    monkeypatch.delenv("BNNBENCH_MIRROR", raising=False)
    if "real_root" not in request.fixturenames:
        monkeypatch.delenv("BNNBENCH_DATA", raising=False)


@pytest.fixture
def real_root() -> str:
    """The folder of the real files."""
    root = os.environ.get("BNNBENCH_DATA")
    if not root:
        pytest.skip("BNNBENCH_DATA is not set: no real data files")
    return root


@pytest.fixture
def load() -> Callable:
    """``load(dataset, root, ood=(), seed=0)`` on the CPU."""
    from bnnbench.data import check_dataset, load_data
    from bnnbench.tasks.from_config import make_task

    def call(dataset, root=None, ood=(), seed=0):
        source = check_dataset(dataset)
        task = make_task({}, dataset=source.name, default=source.task, classes=source.classes)
        place = None if root is None else str(root)
        return load_data(dataset, targets=task, root=place, seed=seed, device=CPU, ood=ood)

    return call


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an idx file of unsigned bytes, written by hand from the format's definition."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def write_idx() -> Callable:
    """``write_idx(folder, part, n, seed=0)`` writes n images and labels; returns them."""

    def write(folder: Path, part: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        images = random.integers(0, 256, size=(n, 28, 28))
        labels = random.integers(0, 10, size=n)
        prefix = {"train": "train", "test": "t10k"}[part]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
        return images, labels

    return write


@pytest.fixture
def user_set(here, user_package) -> Callable:
    """``user_set(source)`` writes a module of the user's own into the working directory; returns its dotted name."""
    numbers = itertools.count()

    def write(source: str) -> str:
        name = f"user_package_{next(numbers)}"
        user_package(name, mydata=source)
        return f"{name}.mydata"

    return write


@dataclass
class Server:
    """A web server on this machine; `answers` maps a path to its content, or to (content, promised length)."""

    url: str
    answers: dict[str, bytes | tuple[bytes, int]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, server_state: list[Server], *args):
        self.state = server_state
        super().__init__(*args)

    def do_GET(self):
        server = self.state[0]
        if self.command == "GET":
            server.requests.append(self.path)
        answer = server.answers.get(self.path)
        if answer is None:
            self.send_error(404, "Not Found")
            return
        content, promised = answer if isinstance(answer, tuple) else (answer, len(answer))
        self.send_response(200)
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A running `Server` that BNNBENCH_MIRROR points at."""
    state: list[Server] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, state)) as httpd:
        state.append(Server(f"http://127.0.0.1:{httpd.server_port}"))
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        monkeypatch.setenv("BNNBENCH_MIRROR", state[0].url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield state[0]
        httpd.shutdown()
        thread.join()
