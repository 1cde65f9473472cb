"""A foreign results folder is data: nothing that it names is imported, called or unpickled, and no link followed."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.cli import invoke

from bnnbench.config.plugins import function, only_code_of
from bnnbench.deploy.export import load_network
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.store import files
from bnnbench.store.tables import MetricsTable

Run = Callable[..., Path]
VERBS = ("export", "sparsity", "compare", "plot", "collect")
SMALL = ("epochs=1", "members.burn_in=5", "members.thin=1", "eval.every=7")
MARK = "executed"  # the file that a planted command makes
COMMAND = f"import os; os.system('touch {MARK}')"
# Where a folder names code, and code that would make `MARK` if it were called with what stands beside its name.
PLANTED: dict[str, dict[str, Any]] = {
    "method.layers": {"name": "timeit.timeit", "setup": COMMAND, "number": 1},
    "method.optimizer": {"name": "subprocess.run", "lr": 0.1, "args": ["touch", MARK]},
    "method.predictive": {"name": "subprocess.Popen", "args": ["touch", MARK]},
    "model": {"name": "subprocess.run", "args": ["touch", MARK]},
    "schedule": {"name": "subprocess.run", "args": ["touch", MARK]},
    "prior": {"name": "planted.Prior", "biases": True, "norm": True},
    "task": {"name": "planted.Task"},
    "dataset": {"name": "planted.data", "label": "x"},
    "eval.metrics": ["planted.Metric"],
}


@pytest.fixture
def foreign(run_small: Run, here: Path) -> Path:
    """A finished run; `planted`, a module that lies in its folder, leaves `MARK` when it is imported."""
    folder = run_small("method=sparse_vd", *SMALL)
    (folder / "planted.py").write_text(COMMAND)
    os.chdir(folder)
    return folder


def plant(folder: Path, key: str, content: Any) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    *sections, last = key.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[last] = content
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")


@pytest.mark.parametrize("key", PLANTED)
def test_no_verb_runs_what_config_yaml_names(key: str, foreign: Path) -> None:
    plant(foreign, key, PLANTED[key])
    for verb in VERBS if key == "method.layers" else VERBS[:2]:  # the others read the same way whatever is planted
        extra = ("--out", "out.csv") if verb == "collect" else ()
        done = invoke(verb, ".", *extra)
        assert not (foreign / MARK).exists(), verb
        if verb in ("export", "sparsity"):
            assert done.exit_code == 1 and "--allow-code" in done.stderr, done.stderr
            assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize("content", ["config", "checkpoint.pt"])
def test_no_verb_unpickles(content: str, foreign: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {MARK}",)

    if content == "config":
        text = f"!!python/object/apply:os.system ['touch {MARK}']\n"
        (foreign / "config.yaml").write_text(text)
    else:
        (foreign / content).write_bytes(pickle.dumps(Evil()))
    for verb in VERBS:
        invoke(verb, ".", *(("--out", "out.csv") if verb == "collect" else ()))
        assert not (foreign / MARK).exists(), verb


@pytest.mark.parametrize("where", ["model", "task"])
@pytest.mark.parametrize("file", ["network.pt", "network_csr.pt"])
def test_load_network_calls_nothing_that_the_file_names(where: str, file: str, here: Path) -> None:
    about = {
        "format": 1,
        "model": {"name": "mlp"},
        "in_shape": ["touch", str(here / MARK)],
        "outputs": 2,
        "norm": "none",
        "task": {"name": "classification", "classes": 2},
        "dataset": {"divide": 1},
    }
    about[where] = {"name": "subprocess.run"}
    torch.save({}, "network.pt")
    Path("network.json").write_text(json.dumps(about))
    torch.save({"format": 1, "about": about, "csr": {}, "dense": {}}, "network_csr.pt")
    with pytest.raises(ConfigError, match="--allow-code subprocess"):
        load_network(file)
    with pytest.raises(BnnbenchError):  # trusted, it is still no network
        load_network(file, allow_code=["subprocess"])
    assert not Path(MARK).exists()


def test_code_that_the_user_names_is_imported(foreign: Path) -> None:
    plant(foreign, "model", {"name": "planted.build"})
    assert invoke("export", ".", "--allow-code", "plant").exit_code == 1  # no prefix of a word
    assert not (foreign / MARK).exists()
    assert invoke("export", ".", "--allow-code", "planted").exit_code == 1  # it holds no build()
    assert (foreign / MARK).exists()


def test_only_packages_below_those_allowed() -> None:
    with only_code_of(["collections"]):
        with pytest.raises(ConfigError, match="must be a function build"):
            function("models", "collections.abc.Callable", "build", takes=("in_shape", "outputs"))
        with pytest.raises(ConfigError, match="--allow-code os"):
            function("models", "os.system", "build", takes=("in_shape", "outputs"))
    with pytest.raises(ConfigError, match="must be a function"):  # typed by the user: imported, but no model
        function("models", "os.system", "build", takes=("in_shape", "outputs"))


@pytest.mark.parametrize(
    "words", [("model.name=subprocess.run",), ("method.layers.name=torch.nn.Linear",), ("schedule.name=os.system",)]
)
def test_what_is_not_of_the_protocol_is_refused_though_the_user_names_it(words: tuple[str, ...], here: Path) -> None:
    refused = invoke("run", "method=sgd", *words)
    assert refused.exit_code == 1 and len(refused.stderr.splitlines()) <= 2
    assert not (here / "results").exists()


def test_hydras_rerun_of_a_pickle_is_refused(here: Path) -> None:
    refused = invoke("run", "--experimental-rerun", "config.pickle")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: --experimental-rerun: no flag of bnnbench")
    assert "--experimental-rerun" not in invoke("run", "--jobs").stderr  # nor is it offered


def test_planted_links_lead_nowhere(here: Path) -> None:
    mine = here / "mine.txt"
    mine.write_text("mine")
    for name in ("network.json", f".network.json.{os.getpid()}.partial"):
        (here / name).symlink_to(mine)
    files.write(here / "network.json", "theirs")
    assert mine.read_text() == "mine" and not (here / "network.json").is_symlink()

    table = MetricsTable(here / "metrics.csv", ("a",))
    (here / "metrics.csv").symlink_to(mine)
    for action in (lambda: table.append([{"a": 1}]), lambda: table.cut(0)):
        with pytest.raises(OSError, match=r"metrics\.csv"):
            action()
    table.begin()
    assert mine.read_text() == "mine" and (here / "metrics.csv").read_text() == "a\n"


def test_export_and_sparsity_follow_no_link(foreign: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    written = ("network.pt", "network.json", "network_csr.pt", "sparsity_curve.csv", "sparsity_curve.svg")
    for name in written:
        (foreign / name).symlink_to(mine)
    assert invoke("export", ".", "--sparse").exit_code == 0
    assert invoke("sparsity", ".", "--thresholds", "0,3", "--formats", "svg").exit_code == 0
    assert mine.read_text() == "mine"
    assert not any((foreign / name).is_symlink() for name in written)
