"""A trained network written as a plain one: what it predicts, how it is stored, and what is refused."""

from __future__ import annotations

import csv
import functools
import importlib
import io
import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from bnnbench.deploy import export as module
from bnnbench.deploy.csr import from_csr, to_csr
from bnnbench.deploy.export import Exported
from bnnbench.deploy.export import export as export_trusting
from bnnbench.deploy.export import load_network as load_network_trusting
from bnnbench.deploy.sparsity_curve import measure
from bnnbench.deploy.trained import load_trained as load_trained_trusting
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.layers.normalisation import norm_modules
from bnnbench.models import build_network
from bnnbench.tasks import formulas
from bnnbench.tasks.regression import SharedVariance

Run = Callable[..., Path]
# The package of `sets`, which the files of its runs name.
export, load_raw, load_trained = (
    functools.partial(read, allow_code=("tiny",))
    for read in (export_trusting, load_network_trusting, load_trained_trusting)
)
load_network = functools.partial(load_raw, prepared=True)
IMAGES = '''
"""Noise of 16×16 pixels with a bright row: enough to train a convolution on."""
import numpy as np

TASK, CLASSES = "classification", 3


def load(root, part):
    random = np.random.default_rng(0 if part == "train" else 1)
    y = np.arange(100 if part == "train" else 61) % 3
    x = random.normal(size=(len(y), 1, 16, 16))
    x[np.arange(len(y)), 0, 4 * y + 2] += 3
    return x, y
'''
LINE = '''
"""A noisy plane, in units far from 1."""
import numpy as np

TASK, CLASSES = "regression", None


def load(root, part):
    random = np.random.default_rng(0 if part == "train" else 1)
    x = random.normal(size=(200 if part == "train" else 73, 3))
    return x, 50 + 20 * (x @ np.array([1.0, -2.0, 0.5]) + random.normal(size=len(x)))
'''
SMALL = ("batch_size=20", "iterations=60", "eval.every=30", "members.burn_in=15", "eval.batch_size=32")


@pytest.fixture
def sets(user_package: Callable[..., None]) -> None:
    """Two datasets of the user's own: tiny.images and tiny.line."""
    user_package("tiny", images=IMAGES, line=LINE)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=160)


def recorded(folder: Path, chain: str = "0") -> dict[str, str]:
    with (folder / "metrics.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["chain"] == chain and row["predictor"] == "current"]
    return rows[-1]


def predictions(folder: Path, network: nn.Module) -> tuple[Tensor, Any]:
    """Return p(y | x) of the run's test split, in batches as large as the run's, and the split."""
    trained = load_trained(folder)
    split = trained.parts.data.evaluation["test"]
    with torch.no_grad():
        outputs = torch.cat([network(x) for x in trained.parts.evaluator.batches(split.x)])
    return trained.parts.task.predict(outputs.double()), split


CONV = ("dataset.name=tiny.images", "dataset.divide=1", "model=lenet5", *SMALL)
LINES = ("dataset.name=tiny.line", "dataset.divide=1", *SMALL)
RUNS = {
    "sparse VD": ("method=sparse_vd", *SMALL),
    "sparse VD, multiplicative": ("method=sparse_vd", "method.layers.parametrisation=multiplicative", *SMALL),
    "some layers": ("method=sparse_vd", "method.layers.only=[fc*]", *SMALL),
    "one layer": ("method=sparse_vd", "model=logistic", *SMALL),
    "convolutions": ("method=sparse_vd", *CONV),
    "convolutions, BatchNorm": ("method=sparse_vd", "method.norm=batch", *CONV),
    "BatchNorm, running": ("method=sparse_vd", "method.norm=batch", "method.bn_stats=running", *SMALL),
    "BatchNorm, frozen": ("method=sparse_vd", "method.norm=batch", "method.bn_stats=frozen", *SMALL),
    "BatchNorm, not yet frozen": (
        *("method=sparse_vd", "method.norm=batch", "method.bn_stats=frozen", *SMALL),
        "members.burn_in=1000",
    ),
    "LayerNorm": ("method=sparse_vd", "method.norm=layer", *SMALL),
}
DENSE = {
    "mean field": ("method=mean_field", *SMALL),
    "VD": ("method=vd", *SMALL),
    "dropout": ("method=dropout", *SMALL),
    "Gaussian dropout": ("method=gaussian_dropout", *CONV),
    "no stochastic layer": ("method=adam", *SMALL),
    "a sampler with BatchNorm": ("method=batchnorm_sgld", *SMALL),
}


@pytest.mark.parametrize("name", RUNS)
def test_both_files_predict_what_the_run_recorded_to_the_last_digit(name: str, finished: Run, sets: None) -> None:
    folder = finished(*RUNS[name])
    done = export(folder, sparse=True, console=quiet())
    assert [path.name for path in done.files] == ["network.pt", "network_csr.pt"]
    assert not list(folder.glob("*.partial"))
    row = recorded(folder)
    for path in done.files:
        p, split = predictions(folder, load_network(path))
        assert formulas.nll(p, split.y).item() == float(row["nll"])
        assert formulas.error(p, split.y).item() == float(row["error"]) == done.score
    assert done.differences == dict.fromkeys(done.files, 0.0)
    assert (done.weights - done.kept) / done.weights == float(row["sparsity"])


@pytest.mark.parametrize("name", DENSE)
def test_a_network_that_drops_nothing_is_exported_dense(name: str, finished: Run, sets: None) -> None:
    folder = finished(*DENSE[name])
    done = export(folder, console=quiet())
    assert [path.name for path in done.files] == ["network.pt"]
    p, split = predictions(folder, load_network(done.files[0]))
    assert formulas.nll(p, split.y).item() == float(recorded(folder)["nll"])
    assert done.kept == done.weights


def test_dense_export_has_what_the_layers_drop_by_themselves_at_zero(finished: Run) -> None:
    folder, console = finished("method=sparse_vd", "method.layers.threshold=-6"), quiet()
    done = export(folder, console=console)
    assert "note: dropped weights are stored as 0" in console.file.getvalue()
    assert 0 < done.kept < done.weights
    assert done.score == float(recorded(folder)["error"])
    assert not (folder / "network_csr.pt").exists()


def test_a_compressed_file_of_an_earlier_export_does_not_stay_beside_another_network(finished: Run) -> None:
    folder = finished("method=sparse_vd", *SMALL)
    export(folder, sparse=True, threshold=-6.0, console=quiet())
    with pytest.raises(ConfigError):
        export(folder, sparse=False, threshold=1.0, console=quiet())
    assert (folder / "network_csr.pt").exists()  # nothing was written
    export(folder, console=quiet())
    assert not (folder / "network_csr.pt").exists()
    assert json.loads((folder / "network.json").read_text())["threshold"] == 3


@pytest.mark.parametrize("head", ["homoscedastic", "heteroscedastic"])
@pytest.mark.parametrize("method", ["sparse_vd", "mean_field"])
def test_regression_keeps_its_variance_and_its_units(method: str, head: str, finished: Run, sets: None) -> None:
    folder = finished(f"method={method}", f"task.head={head}", *LINES, "method.optimizer.lr=0.01")
    console = quiet()
    done = export(folder, sparse=method == "sparse_vd", console=console)
    about, row = json.loads((folder / "network.json").read_text()), recorded(folder)
    assert done.score == float(row["rmse"])
    assert "the run recorded" not in console.file.getvalue()
    for path in done.files:
        network = load_network(path)
        assert isinstance(network, SharedVariance) == (head == "homoscedastic")
        moments, split = predictions(folder, network)
        density = formulas.gaussian_log_density(moments[:, 0], moments[:, 1], split.y).mean()
        nll = torch.tensor(about["target_std"], dtype=torch.float64).log() - density
        assert nll.item() == pytest.approx(float(row["nll"]), rel=1e-12)
        assert formulas.rmse(moments[:, 0], split.y, about["target_std"]).item() == float(row["rmse"])
    (point,) = measure(load_trained(folder), thresholds=[3.0 if method == "sparse_vd" else math.inf])
    assert point["rmse"] == float(row["rmse"])  # the curve passes through the run


@pytest.mark.parametrize("head", ["softmax", "homoscedastic", "heteroscedastic"])
def test_a_file_of_an_earlier_version_names_its_head_alone(head: str, finished: Run, sets: None) -> None:
    folder = finished("method=adam", *(SMALL if head == "softmax" else (f"task.head={head}", *LINES)))
    export(folder, console=quiet())
    expected = load_network(folder / "network.pt")
    about = json.loads((folder / "network.json").read_text())
    assert about.pop("task")["head"] == head
    (folder / "network.json").write_text(json.dumps({**about, "head": head}))
    network = load_network(folder / "network.pt")
    x = torch.randn(4, *about["in_shape"])
    assert torch.equal(network(x), expected(x))


def rows_and_targets(name: str, part: str = "test") -> tuple[Tensor, Tensor]:
    """Return what the dataset's own `load` returns."""
    x, y = importlib.import_module(name).load(Path(), part)
    return torch.as_tensor(x), torch.as_tensor(y)


@pytest.mark.parametrize("head", ["homoscedastic", "heteroscedastic"])
@pytest.mark.parametrize("center", ["none", "mean_image", "standardise"])
def test_a_network_that_was_read_takes_raw_rows_and_answers_in_their_units(
    head: str, center: str, finished: Run, sets: None
) -> None:
    folder = finished("method=adam", f"task.head={head}", *LINES, "dataset.divide=3", f"dataset.center={center}")
    done = export(folder, console=quiet())
    x, y = rows_and_targets("tiny.line")
    with torch.no_grad():
        mean, variance = load_raw(done.files[0])(x).double().unbind(-1)
    row = recorded(folder)
    assert (mean - y).square().mean().sqrt().item() == pytest.approx(float(row["rmse"]), rel=1e-5)
    density = -0.5 * ((2 * math.pi * variance).log() + (y - mean) ** 2 / variance)
    assert -density.mean().item() == pytest.approx(float(row["nll"]), rel=1e-5)


def test_classes_too_are_predicted_from_raw_rows(finished: Run, sets: None) -> None:
    folder = finished("method=sparse_vd", *CONV, "dataset.divide=7", "dataset.center=standardise")
    done = export(folder, sparse=True, console=quiet())
    x, y = rows_and_targets("tiny.images")
    for path in done.files:
        network = load_raw(path)
        with torch.no_grad():
            wrong = (network(x).argmax(-1) != y).double().mean().item()
        assert wrong == float(recorded(folder)["error"])
        assert torch.equal(network.network.state_dict()["out.bias"], load_network(path).state_dict()["out.bias"])
    with pytest.raises(ValueError, match=re.escape("inputs of shape [61, 256]; this network takes [n, 1, 16, 16]")):
        network(x.flatten(1))


def test_a_file_without_statistics_of_its_inputs_is_read_as_a_plain_network_alone(finished: Run, sets: None) -> None:
    folder = finished("method=adam", *LINES, "dataset.center=standardise")
    path = export(folder, console=quiet()).files[0]
    about = json.loads((folder / "network.json").read_text())
    inputs = about.pop("inputs")
    (folder / "network.json").write_text(json.dumps(about))
    with pytest.raises(BnnbenchError, match=r"without the statistics of its inputs\. Export the run") as caught:
        load_raw(path)
    assert len(str(caught.value).splitlines()) == 1
    load_network(path)
    for other in ({**inputs, "mean": [1.0]}, {**inputs, "std": "x"}, {**inputs, "dtype": "eval"}, {}, 5):
        (folder / "network.json").write_text(json.dumps({**about, "inputs": other}))
        with pytest.raises(BnnbenchError, match="damaged, or not a file of `bnnbench export`"):
            load_raw(path)


@pytest.mark.parametrize("threshold", [-3.0, 5.0])
def test_a_threshold_of_ones_own_drops_other_weights(threshold: float, finished: Run) -> None:
    folder = finished("method=sparse_vd", "epochs=20")
    usual = export(folder, sparse=True, console=quiet())
    done = export(folder, sparse=True, threshold=threshold, out=folder / "other", console=quiet())
    assert (done.kept < usual.kept) == (threshold < 3)
    assert done.kept != usual.kept
    layers = load_trained(folder).network()
    network = load_network(done.files[1])
    for name in ("fc1", "out"):
        layer, plain = layers.get_submodule(name), network.get_submodule(name)
        kept = layer.current_log_alpha() <= threshold
        assert torch.equal(plain.weight, torch.where(kept, layer.weight, 0.0))
        assert torch.equal(plain.bias, layer.bias)
    assert json.loads((folder / "other" / "network.json").read_text())["threshold"] == threshold


@pytest.mark.parametrize("sparse", [False, True])
def test_the_threshold_that_was_applied_is_recorded(sparse: bool, finished: Run) -> None:
    def threshold(*words: str, sparse: bool = sparse) -> Any:
        folder = finished(*words, *SMALL)
        export(folder, sparse=sparse, console=quiet())
        return json.loads((folder / "network.json").read_text())["threshold"]

    assert threshold("method=sparse_vd") == 3
    assert threshold("method=sparse_vd", "method.layers.threshold=-5") == -5
    two = threshold("method=sparse_vd", "+method.layers.input={threshold: 1}")
    assert two == {"fc1": 1, "out": 3}
    assert threshold("method=mean_field", sparse=False) is None  # its layers drop nothing


@pytest.mark.parametrize("method", [("mean_field",), ("vd", "method.layers.per=weight"), ("vd",)], ids=" ".join)
def test_layers_without_a_threshold_are_pruned_at_the_one_given(method: tuple[str, ...], finished: Run) -> None:
    folder = finished(f"method={method[0]}", *method[1:], "epochs=8")
    with pytest.raises(ConfigError, match=r"no threshold of their own. Give --threshold"):
        export(folder, sparse=True, console=quiet())
    assert not (folder / "network.pt").exists()
    middle = load_trained(folder).network().fc1.current_log_alpha().median().item()
    done = export(folder, sparse=True, threshold=middle, console=quiet())
    assert 0 < done.kept < done.weights
    assert done.differences == dict.fromkeys(done.files, 0.0)
    (row,) = measure(load_trained(folder), thresholds=[middle])  # the curve drops the same weights, in its own way
    assert (row["kept"], row["error"]) == (done.kept, done.score)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_each_chain_is_exported_by_itself(norm: str, finished: Run) -> None:
    folder = finished("method=sparse_vd", "chains=2", f"method.norm={norm}", "epochs=4")
    trained = load_trained(folder)
    states = []
    for chain in (0, 1):
        done = export(folder, sparse=True, chain=chain, out=folder / str(chain), console=quiet())
        network = load_network(done.files[1])
        p, split = predictions(folder, network)
        # Together the chains are other matrix products: the same numbers but for rounding.
        assert formulas.nll(p, split.y).item() == pytest.approx(float(recorded(folder, str(chain))["nll"]), rel=1e-5)
        states.append(network.state_dict())
        mine = trained.parts.chains.state_of(chain)
        assert torch.equal(states[-1]["out.bias"], mine["out.bias"])
    assert not torch.equal(states[0]["out.bias"], states[1]["out.bias"])
    if norm == "batch":
        assert not torch.equal(states[0]["fc1.norm.running_mean"], states[1]["fc1.norm.running_mean"])
    with pytest.raises(ConfigError, match="chain 2: this run has 2 of them"):
        export(folder, chain=2, console=quiet())
    with pytest.raises(ConfigError, match="chain -1"):
        export(folder, chain=-1, console=quiet())


def test_the_refitted_statistics_are_in_the_file_and_the_running_ones_are_not(finished: Run) -> None:
    folder = finished("method=sparse_vd", "method.norm=batch", *SMALL)
    network = load_network(export(folder, console=quiet()).files[0])
    running = load_trained(folder).parts.chains.buffers
    assert len(list(norm_modules(network))) == 1
    assert not torch.equal(network.fc1.norm.running_mean, running["fc1.norm.running_mean"])
    assert not network.training


def test_statistics_of_the_batch_cannot_be_exported(finished: Run) -> None:
    folder = finished("method=sparse_vd", "method.norm=batch", "method.bn_stats=batch", *SMALL)
    with pytest.raises(ConfigError, match=r"method.bn_stats=batch takes BatchNorm's statistics from each.*refit"):
        export(folder, console=quiet())
    assert not (folder / "network.pt").exists()


def test_the_dense_file_is_a_state_dict_for_the_plain_model(finished: Run) -> None:
    folder = finished("method=sparse_vd", *SMALL)
    export(folder, console=quiet())
    network = build_network({"name": "mlp", "widths": [16]}, (1, 8, 8), 10)
    network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
    assert torch.equal(network.fc1.weight, load_network(folder / "network.pt").fc1.weight)


def test_the_compressed_file_holds_plain_tensors_alone(finished: Run, sets: None) -> None:
    folder = finished("method=sparse_vd", *CONV)
    done = export(folder, sparse=True, console=quiet())
    stored = torch.load(folder / "network_csr.pt", weights_only=True)
    state = torch.load(folder / "network.pt", weights_only=True)
    assert set(stored["csr"]) == {"conv1.weight", "conv2.weight", "fc1.weight", "out.weight"}
    assert set(stored["dense"]) == {"conv1.bias", "conv2.bias", "fc1.bias", "out.bias"}
    kinds = {"conv1": torch.uint8, "conv2": torch.int16, "fc1": torch.uint8, "out": torch.int16}
    for name, kind in kinds.items():  # 25, 500, 50 and 500 columns
        rows, weight = stored["csr"][f"{name}.weight"], state[f"{name}.weight"]
        assert (rows["crow"].dtype, rows["col"].dtype, rows["values"].dtype) == (torch.int32, kind, torch.float32)
        expected = weight.flatten(1).to_sparse_csr()  # torch's own
        assert torch.equal(rows["crow"].long(), expected.crow_indices())
        assert torch.equal(rows["col"].long(), expected.col_indices())
        assert torch.equal(rows["values"], expected.values())
    assert stored["about"] == json.loads((folder / "network.json").read_text())
    assert sum(len(rows["values"]) for rows in stored["csr"].values()) == done.kept


def test_pruning_makes_the_file_smaller_by_what_csr_promises(finished: Run) -> None:
    folder = finished("method=sparse_vd", "model.widths=[200]", "epochs=2")
    done = export(folder, sparse=True, threshold=-8.0, console=quiet())
    dense, compressed = (path.stat().st_size for path in done.files)
    assert dense == done.unpruned
    bytes_of_weights = 4 * done.weights
    assert bytes_of_weights < dense < bytes_of_weights + 8000
    pointers = 4 * (201 + 11)
    assert compressed < dense - bytes_of_weights + (4 + 1) * done.kept + pointers + 4000


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        (256, torch.uint8),
        (257, torch.int16),
        (32_768, torch.int16),
        (32_769, torch.uint16),
        (65_536, torch.uint16),
        (65_537, torch.int32),
    ],
)
def test_columns_take_the_smallest_integers_that_hold_them(columns: int, kind: torch.dtype) -> None:
    weight = torch.zeros(3, columns)
    weight[0, 0], weight[2, columns - 1] = 2.5, -1.0
    stored = to_csr(weight)
    assert stored["col"].dtype == kind
    assert stored["crow"].tolist() == [0, 1, 1, 2]
    assert stored["col"].long().tolist() == [0, columns - 1]
    assert torch.equal(from_csr(stored), weight)


@pytest.mark.parametrize("shape", [(4, 5), (3, 2, 3, 4), (1, 1)])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_compressed_rows_there_and_back(shape: tuple[int, ...], fraction: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape) * (torch.rand(shape) < fraction)
    stored = to_csr(weight)
    assert torch.equal(from_csr(stored), weight)
    assert len(stored["values"]) == len(stored["col"]) == int(weight.count_nonzero())


def test_a_file_that_predicts_otherwise_is_found_out(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = finished("method=sparse_vd", *SMALL)

    def off_by_the_last_digit(path: Path, allow_code: Sequence[str] = (), prepared: bool = False) -> nn.Module:
        network = load_network(path)
        if path.name == "network_csr.pt":
            with torch.no_grad():
                network.out.bias[0] = torch.nextafter(network.out.bias[0], torch.tensor(10.0))
        return network

    monkeypatch.setattr(module, "load_network", off_by_the_last_digit)
    console = quiet()
    with pytest.raises(BnnbenchError, match=r"does not predict as the run does: network_csr\.pt by up to \d.*e-"):
        export(folder, sparse=True, console=console)
    assert "predictions are NOT the run's" in console.file.getvalue()


def test_what_is_printed(finished: Run) -> None:
    folder, console = finished("method=sparse_vd", "method.layers.threshold=-6"), quiet()
    done = export(folder, sparse=True, console=console)
    text = console.file.getvalue()
    for words in (
        f"{done.weights} weights, {done.kept} kept (log α ≤ -6)",
        f"{done.weights / done.kept:.4g}",
        f"test error {100 * float(recorded(folder)['error']):.2f} %, predictions equal the run's to the bit",
        f"{(folder / 'network_csr.pt').stat().st_size:,}".replace(",", " "),
    ):
        assert words in text, text
    files = [folder / name for name in ("network.pt", "network.json", "network_csr.pt")]
    assert text.splitlines()[-3:] == [str(file) for file in files]
    assert all(file.is_file() for file in files)
    assert "note:" not in text


def test_notes_say_what_the_network_is_not(finished: Run) -> None:
    console = quiet()
    export(finished("method=psgld", *SMALL), console=console)
    assert "the chain's last iterate, not the posterior mean" in console.file.getvalue()


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("adam", {"sparse": True}, "No layer has an α.*Leave out --sparse"),
        ("dropout", {"sparse": True}, "No layer has an α.*Leave out --sparse"),
        ("dropout", {"sparse": True, "threshold": 3.0}, "No layer has an α"),
        ("sparse_vd", {"threshold": 3.0}, "--threshold: without --sparse the layers' own applies.*Add --sparse"),
        ("sparse_vd", {"sparse": True, "threshold": float("nan")}, "--threshold nan: give a number"),
    ],
)
def test_what_cannot_be_pruned_is_said_and_leaves_nothing(
    method: str, options: dict[str, Any], words: str, finished: Run
) -> None:
    folder = finished(f"method={method}", *SMALL)
    before = sorted(folder.iterdir())
    with pytest.raises(ConfigError, match=words) as caught:
        export(folder, console=quiet(), **options)
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_files_that_are_not_a_network_are_refused_in_a_line(finished: Run, tmp_path: Path) -> None:
    folder = finished("method=sparse_vd", *SMALL)
    done: Exported = export(folder, sparse=True, console=quiet())
    dense, compressed = done.files

    def refused(path: Path, words: str) -> None:
        with pytest.raises(BnnbenchError, match=words) as caught:
            load_network(path)
        assert len(str(caught.value).splitlines()) == 1

    refused(tmp_path / "none.pt", r"none\.pt: no such file. `bnnbench export RUN` makes it")
    refused(folder / "checkpoint.pt", "not the state of the model it names: (Missing|Unexpected)")
    refused(folder / "metrics.csv", "damaged, or not a file of `bnnbench export`")
    compressed.write_bytes(compressed.read_bytes()[:1000])
    refused(compressed, "damaged, or not a file")
    torch.save(torch.zeros(3), compressed)
    refused(compressed, "damaged, or not a file|not the state")
    about = json.loads((folder / "network.json").read_text())
    (folder / "network.json").write_text(json.dumps({**about, "outputs": 9}))
    refused(dense, "not the state of the model it names: size mismatch")
    (folder / "network.json").write_text(json.dumps({**about, "model": {"name": "mpl"}}))
    refused(dense, "mpl")
    (folder / "network.json").write_text("{}")
    refused(dense, "damaged")
    (folder / "network.json").unlink()
    refused(dense, r"network\.json: no such file. network\.pt is read with network\.json beside it")


def test_loading_leaves_the_random_numbers_alone(finished: Run) -> None:
    folder = finished("method=sparse_vd", *SMALL)
    export(folder, console=quiet())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_network(folder / "network.pt")
    assert torch.equal(torch.rand(3), expected)


def test_the_network_is_read_without_data_and_without_the_run(finished: Run, tmp_path: Path, sets: None) -> None:
    folder = finished("method=sparse_vd", *CONV)
    export(folder, sparse=True, out=tmp_path / "elsewhere", console=quiet())
    shutil.rmtree(folder)
    (tmp_path / "tiny" / "images.py").unlink()
    x = torch.randn(2, 1, 16, 16)
    pair = [load_network(tmp_path / "elsewhere" / name)(x) for name in ("network.pt", "network_csr.pt")]
    assert pair[0].shape == (2, 3)
    assert torch.equal(*pair)


def test_the_lines_of_the_readme_read_both_files(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "network_csr.pt" in block)
    folder = finished("method=sparse_vd", "method.layers.threshold=-5", *SMALL)
    export(folder, sparse=True, console=quiet())
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    exec(lines, found)
    assert set(found["state"]) == set(found["same"]) == {"fc1.weight", "fc1.bias", "out.weight", "out.bias"}
    assert all(torch.equal(value, found["same"][name]) for name, value in found["state"].items())
    network = load_raw("network.pt").network  # the path is relative, as in the README
    for state in (found["state"], found["same"]):
        network.load_state_dict(state)


def test_a_run_that_was_moved_finds_its_data_where_they_are_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.cli import invoke

    rows = [f"{'+1' if i % 2 else '-1'} {1 + i % 100}:1 {101 + i % 22}:1" for i in range(60)]
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "libsvm").mkdir(parents=True)
    for name in ("a9a", "a9a.t"):
        (first / "libsvm" / name).write_text("\n".join(rows) + "\n")
    words = ("dataset=a9a", "model=logistic", "method=sgd", "iterations=10", "batch_size=10", "threads=1")
    monkeypatch.chdir(tmp_path)
    done = invoke("run", *words, f"data.root={first}")
    assert done.exit_code == 0, done.stderr
    first.rename(second)
    (folder,) = (tmp_path / "results" / "adhoc").iterdir()
    monkeypatch.setenv("BNNBENCH_DATA", str(second))
    exported = invoke("export", str(folder), "--out", "there")
    assert exported.exit_code == 0, exported.stderr
    assert "is not what the run was made with" not in exported.stdout
    (second / "libsvm" / "a9a").write_text("\n".join(rows[:50]) + "\n")
    assert "is not what the run was made with" in invoke("export", str(folder), "--out", "there").stdout
