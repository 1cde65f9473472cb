"""Masks by log α, planted by hand; the table at the end of a run; the curve over thresholds."""

from __future__ import annotations

import csv
import functools
import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from support.records import change_manifest, manifest_of
from torch import nn

from bnnbench.deploy.sparsity_curve import GRID, measure, parse_thresholds, sparsity_curve
from bnnbench.deploy.trained import load_trained
from bnnbench.errors import BnnbenchError, ConfigError
from bnnbench.experiment.progress import closing_table, sparsity_table
from bnnbench.experiment.run import run
from bnnbench.inference.chains import Chains
from bnnbench.layers.conversion import convert
from bnnbench.layers.dropout import Dropout
from bnnbench.layers.mean_field import MeanField
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.layers.sparsity import (
    QUANTILES,
    count_weights,
    log_alpha_of_weights,
    own_thresholds,
    prune,
    sparsity,
    sparsity_rows,
)
from bnnbench.layers.vd import VariationalDropout
from bnnbench.models import build_network
from bnnbench.store import folder as records

Run = Callable[..., Path]
MLP = {"name": "mlp", "widths": [6, 5]}


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def words(thing: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(thing)
    return console.file.getvalue()


def plant(layer: nn.Module, log_alpha: torch.Tensor) -> None:
    """Give the weights of a Sparse VD or mean-field layer these values of log σ²/μ²."""
    log_variance = log_alpha.reshape(layer.weight.shape) + layer.weight.detach().square().log()
    with torch.no_grad():
        if hasattr(layer, "log_sigma2"):
            layer.log_sigma2.copy_(log_variance)
        else:
            layer.rho.copy_((0.5 * log_variance).exp().expm1().log())  # the inverse of softplus


PLAIN = {
    "linear": (lambda: nn.Linear(4, 6), (5, 4)),
    "conv": (lambda: nn.Conv2d(4, 6, 3), (5, 4, 6, 6)),
    "grouped": (lambda: nn.Conv2d(4, 6, (3, 2), groups=2), (5, 4, 6, 6)),
}


@pytest.mark.parametrize("per", ["layer", "unit", "weight"])
@pytest.mark.parametrize("kind", PLAIN)
def test_an_alpha_is_that_of_the_weights_whose_variance_it_makes(kind: str, per: str) -> None:
    """The layer's own variance of pre-activations is that of independent weights with log α as returned."""
    torch.manual_seed(0)
    make, shape = PLAIN[kind]
    layer = VariationalDropout(make(), per=per, kl="sigmoid").double()
    with torch.no_grad():
        layer.log_alpha.copy_(torch.randn_like(layer.log_alpha))
    alpha, x = log_alpha_of_weights(layer), torch.randn(shape, dtype=torch.float64)
    assert alpha.shape == layer.weight.shape
    variance = layer.affine(x.square(), alpha.exp() * layer.weight.square(), None)
    torch.testing.assert_close(variance, layer.moments(x)[1])


@pytest.mark.parametrize("make", [SparseVD, MeanField])
def test_pruning_drops_what_is_above_the_threshold_and_no_bias(make: type) -> None:
    network = convert(build_network(MLP, (4,), 3), make, "fc*")  # 24 and 30 weights; 15 plain ones in `out`
    with torch.no_grad():
        for layer in (network.fc1, network.fc2):
            layer.bias.fill_(1e-9)  # a small signal: no reason to drop it
    plant(network.fc1, torch.arange(24) - 20.5)  # −20.5 … 2.5; Sparse VD holds it at −8 from below
    plant(network.fc2, torch.full((30,), 4.5))
    x = torch.randn(7, 4)
    full = network.eval()(x) if make is MeanField else None
    assert prune(network, 5.0) is network
    if full is not None:
        assert torch.equal(network(x), full)  # nothing is above 5
    prune(network, -2.0)
    if make is SparseVD:
        assert own_thresholds(network) == [-2.0]
        assert int(network.fc1.kept().sum()) == 19
        assert int(network.fc2.kept().sum()) == 0
        prune(network, 3.0)  # it takes nothing for good
        assert int(network.fc1.kept().sum()) == 24
    else:
        assert own_thresholds(network) == []
        assert int(network.fc1.weight.count_nonzero()) == 19
        assert not network.fc2.weight.any()
        prune(network, 3.0)
        assert int(network.fc1.weight.count_nonzero()) == 19
    assert (network.fc1.bias == 1e-9).all() and (network.fc2.bias == 1e-9).all()
    assert int(network.out.weight.count_nonzero()) == 15


def test_a_threshold_needs_an_alpha() -> None:
    for network in (build_network(MLP, (4,), 3), convert(build_network(MLP, (4,), 3), Dropout)):
        with pytest.raises(ConfigError, match=r"No layer has an α, so there is no threshold.*sparse_vd, vd or mean"):
            prune(network, 3.0)


def test_weights_of_plain_layers_are_counted_and_biases_not() -> None:
    network = build_network({"name": "lenet5"}, (1, 16, 16), 3)
    with torch.no_grad():
        network.conv2.weight[:10] = 0
        network.fc1.bias.zero_()
    total = 20 * 25 + 50 * 20 * 25 + 500 * 50 + 3 * 500
    assert count_weights(network) == (total, total - 10 * 20 * 25)


def test_rows_for_every_chain_and_layer_with_planted_fractions() -> None:
    chains = Chains(lambda: convert(build_network(MLP, (4,), 3), SparseVD, "fc*"), [1, 2], torch.device("cpu"))
    with torch.no_grad():
        log_alpha = torch.full((2, 6, 4), -4.0)
        log_alpha[0].view(-1)[:18] = 5.0
        chains.parameters["fc1.log_sigma2"].copy_(log_alpha + chains.parameters["fc1.weight"].square().log())
        chains.parameters["fc2.log_sigma2"].copy_(6.0 + chains.parameters["fc2.weight"].square().log())
    rows = sparsity_rows(chains.network, [chains.state_of(k) for k in range(chains.count)])
    assert [(r["chain"], r["layer"]) for r in rows] == [(k, n) for k in (0, 1) for n in ("fc1", "fc2", "out", "total")]
    assert [r["weights"] for r in rows] == [24, 30, 15, 69] * 2
    assert [r["kept"] for r in rows] == [6, 0, 15, 21, 24, 0, 15, 39]
    assert [r["dropped"] for r in rows] == pytest.approx([0.75, 1, 0, 48 / 69, 0, 1, 0, 30 / 69])
    assert [r["compression"] for r in rows] == pytest.approx([4, math.inf, 1, 69 / 21, 1, math.inf, 1, 69 / 39])
    assert rows[0]["log_alpha_5"] == pytest.approx(-4, abs=1e-3)
    assert rows[0]["log_alpha_50"] == pytest.approx(5, abs=1e-3)
    assert rows[2]["log_alpha_50"] is None
    assert len({tuple(row) for row in rows}) == 1  # the same columns everywhere, in the same order
    shown = words(sparsity_table(rows))
    assert "75.00" in shown and "inf" in shown and "log α 5 %" in shown and "chain" in shown
    assert "chain" not in words(sparsity_table(rows[:4]))


def test_layers_without_any_alpha_make_no_table() -> None:
    for make in (Dropout, None):
        network = build_network(MLP, (4,), 3)
        chains = Chains(lambda n=network, m=make: convert(n, m) if m else n, [0], torch.device("cpu"))
        assert sparsity_rows(chains.network, [chains.state_of(k) for k in range(chains.count)]) == []


@pytest.mark.parametrize(
    ("method", "levels"), [(("method=sparse_vd", "chains=2"), True), (("method=vd",), True), (("method=adam",), False)]
)
def test_a_run_ends_with_its_sparsity(method: tuple[str, ...], levels: bool, finished: Run) -> None:
    folder = finished(*method, "epochs=4")
    assert (folder / "sparsity.csv").is_file() == levels
    assert not list(folder.glob("*.partial"))
    if levels:
        trained, rows = load_trained(folder), table(folder / "sparsity.csv")
        for chain in range(trained.config.chains):
            total, layers = sparsity(trained.parts.chains.network, trained.parts.chains.state_of(chain))
            mine = [row for row in rows if row["chain"] == str(chain)]
            assert [row["layer"] for row in mine] == ["fc1", "out", "total"]
            for row, expected in zip(mine, [*layers.values(), total], strict=True):
                assert (int(row["weights"]), int(row["kept"])) == (expected.weights, expected.kept)
                found = {level: float(row[f"log_alpha_{100 * level:g}"]) for level in QUANTILES}
                assert found == expected.log_alpha  # full precision
        last = table(folder / "metrics.csv")[-1]
        if last["sparsity"]:
            assert float(last["sparsity"]) == float(rows[-1]["dropped"])


def test_the_end_of_a_run_shows_both_tables_with_kl_and_sparsity(compose: Callable[..., Any]) -> None:
    console = Console(file=io.StringIO(), width=160)
    raw = compose("method=sparse_vd", "model.widths=[16]", "epochs=2", "eval.every=50", "threads=1")
    folder = run(raw, console)
    text = console.file.getvalue()
    final = manifest_of(folder)["final"]["test/current/0"]
    assert text.index("error %") < text.index("compression") < text.index("results:")
    assert f"{final['kl']:.1f}" in text and f"{100 * final['sparsity']:.2f}" in text


def test_columns_without_values_are_not_shown() -> None:
    row = {"split": "test", "predictor": "current", "chain": 0, "members": 1, "error": 0.25, "nll": 0.5}
    assert "kl" not in words(closing_table([row], "x")) and "sparsity" not in words(closing_table([row], "x"))
    shown = words(closing_table([{**row, "kl": 1234.5, "sparsity": 0.987654}], "x"))
    assert "1234.5" in shown and "98.77" in shown and "sparsity %" in shown


def test_sparsity_is_written_before_the_run_counts_as_finished(run_small: Run, monkeypatch: Any) -> None:
    seen = []

    def write(path: Path, rows: Any) -> None:
        seen.append(manifest_of(path.parent)["status"])

    monkeypatch.setattr(records, "write_csv", write)
    folder = run_small("method=sparse_vd", "epochs=2")
    assert seen == ["running"]
    assert manifest_of(folder)["status"] == "finished"


def test_running_anew_takes_the_old_table_away_first(run_small: Run, monkeypatch: Any) -> None:
    folder = run_small("method=sparse_vd", "epochs=2")

    def die(*_: Any) -> None:
        assert not (folder / "sparsity.csv").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("bnnbench.experiment.run._announce", die)
    with pytest.raises(KeyboardInterrupt):
        run_small("method=sparse_vd", "epochs=2", "force=true")


def planted_run(finished: Run, *overrides: str) -> Path:
    """Return a run of two chains whose log α were set by hand in its checkpoint: 64 × 16 and 16 × 10 weights.

    Of `fc1` half is at −4 and half at 5 in chain 0, all at −4 in chain 1; of `out` 16 are at 1 and the others at −6.
    """
    folder = finished("method=sparse_vd", "epochs=2", "chains=2", *overrides)
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    parameters = checkpoint["chains"]["parameters"]
    first, last = torch.full((2, 16, 64), -4.0), torch.full((2, 10, 16), -6.0)
    first[0, :, :32], last[:, 3] = 5.0, 1.0
    for name, log_alpha in (("fc1", first), ("out", last)):
        theta = parameters[f"{name}.weight"]
        theta.copy_(torch.where(theta.abs() < 1e-3, 1e-3, theta))  # none so small that log α is not what was planted
        parameters[f"{name}.log_sigma2"].copy_(log_alpha + theta.square().log())
    torch.save(checkpoint, folder / "checkpoint.pt")
    return folder


def test_the_curve_has_the_fractions_counted_by_hand(finished: Run, tmp_path: Path) -> None:
    folder = planted_run(finished)
    files = sparsity_curve(folder, thresholds=[-7, -5, 0, 2, 6], out=tmp_path / "new" / "o", formats=["svg"])
    assert [file.name for file in files] == ["sparsity_curve.csv", "sparsity_curve.svg"]
    rows = table(files[0])
    assert [float(row["threshold"]) for row in rows] == [-7, -5, 0, 2, 3, 6]  # the run's own, 3, has joined
    assert [row["own"] for row in rows] == ["0", "0", "0", "0", "1", "0"]
    kept = [0, 144, 144 + 512, 160 + 512, 160 + 512, 160 + 1024]
    assert [int(row["kept"]) for row in rows] == kept
    assert [float(row["dropped"]) for row in rows] == [(1184 - k) / 1184 for k in kept]
    assert float(rows[0]["compression"]) == math.inf
    assert {row["split"] for row in rows} == {"test"}
    other = measure(load_trained(folder), chain=1, thresholds=[0])
    assert [(row["threshold"], row["kept"]) for row in other] == [(0, 144 + 1024), (3, 1184)]


def test_a_network_without_weights_predicts_by_its_biases(finished: Run) -> None:
    trained = load_trained(planted_run(finished))
    first = measure(trained, thresholds=[-8])[0]
    bias, y = trained.parts.chains.state_of(0)["out.bias"].double(), trained.parts.data.evaluation["test"].y
    assert first["error"] == (y != bias.argmax()).double().mean().item()
    assert first["nll"] == pytest.approx(nn.functional.cross_entropy(bias.expand(len(y), 10), y).item(), rel=1e-6)


def test_at_its_own_threshold_the_curve_is_the_run_and_the_valid_split_is_there(finished: Run) -> None:
    folder = finished("method=sparse_vd", "dataset.valid=100", "epochs=4")
    rows = measure(load_trained(folder), thresholds=GRID)
    assert len(rows) == 2 * len(GRID)
    recorded = {row["split"]: row for row in table(folder / "metrics.csv")[-2:]}
    own = {row["split"]: row for row in rows if row["own"]}
    assert set(own) == {"valid", "test"}
    for split, row in own.items():
        assert (row["error"], row["nll"]) == (float(recorded[split]["error"]), float(recorded[split]["nll"]))
        assert row["dropped"] == float(recorded[split]["sparsity"])


@pytest.mark.parametrize(
    "method",
    [
        ("method=mean_field",),
        ("method=vd",),
        ("method=vd", "method.layers.per=weight"),
        ("method=sparse_vd", "method.layers.only=[fc*]", "model.widths=[8,8]"),
        ("method=mean_field", "method.norm=batch", "method.bn_stats=batch"),
        ("method=sparse_vd", "method.norm=batch", "method.bn_stats=refit"),
        ("method=sparse_vd", "method.norm=batch", "method.bn_stats=frozen", "chains=2"),
    ],
    ids=" ".join,
)
def test_with_nothing_dropped_the_curve_is_the_run_for_every_kind_of_layer(
    method: tuple[str, ...], finished: Run
) -> None:
    folder = finished(*method, "epochs=8")
    rows = measure(load_trained(folder), thresholds=[-50, 3, 50])
    last = [r for r in table(folder / "metrics.csv") if (r["predictor"], r["chain"]) == ("current", "0")][-1]
    same = rows[1] if "method=sparse_vd" in method else rows[-1]
    # Two chains evaluated together are other matrix products: equal but for rounding.
    assert same["nll"] == pytest.approx(float(last["nll"]), rel=1e-5 if "chains=2" in method else 1e-12)
    dropped = [row["dropped"] for row in rows]
    assert dropped == sorted(dropped, reverse=True)
    assert rows[-1]["dropped"] == 0
    if "method.layers.only=[fc*]" in method:
        assert rows[0]["kept"] == 8 * 10  # the plain layer keeps its weights
    else:
        assert rows[0]["kept"] == 0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3", [3]),
        ("-2,0, 3.5", [-2, 0, 3.5]),
        ("-1:1:0.5", [-1, -0.5, 0, 0.5, 1]),
        ("0:1:0.1", [i * 0.1 for i in range(11)]),
        ("2:1:-1", [2, 1]),
    ],
)
def test_thresholds_are_a_list_or_a_range(text: str, values: list[float]) -> None:
    assert parse_thresholds(text) == pytest.approx(values)


@pytest.mark.parametrize(
    "text", ["", "a", "1,,2", "1:2", "1:2:0", "2:1:1", "nan", "inf", "0:inf:1", "0:1:nan", "1:2:3:4"]
)
def test_other_thresholds_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"give numbers, such as -2,0,3, or first:last:step"):
        parse_thresholds(text)


def test_too_many_thresholds_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than 1000 thresholds"):
        parse_thresholds("0:1:1e-9")


def test_layers_with_thresholds_of_their_own_have_no_common_one() -> None:
    network = convert(build_network(MLP, (4,), 3), functools.partial(SparseVD, threshold=2.0), "fc1")
    convert(network, SparseVD)
    assert own_thresholds(network) == [2.0, 3.0]


def test_what_cannot_be_loaded_is_said_in_a_line(finished: Run, tmp_path: Path) -> None:
    folder = finished("method=sparse_vd", "epochs=2")
    finished("method=sparse_vd", "epochs=2", "seed=1")
    checkpoint = (folder / "checkpoint.pt").read_bytes()

    def refused(words: str, folder: Path = folder, kind: type = BnnbenchError, **options: Any) -> None:
        with pytest.raises(kind, match=words) as caught:
            load_trained(folder, **options)
        assert len(str(caught.value).splitlines()) <= 2

    refused("nowhere: no such file or folder", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    refused("No runs in .*empty", tmp_path / "empty")
    refused("holds 2 runs. Give the folder of one", tmp_path / "results")
    refused("device=cuda:99: not available", kind=ConfigError, device="cuda:99")
    for damage in (checkpoint[: len(checkpoint) // 2], b"", b"nonsense"):
        (folder / "checkpoint.pt").write_bytes(damage)
        refused(r"checkpoint\.pt is damaged and cannot be read. Run it once more")
    torch.save({"chains": {}}, folder / "checkpoint.pt")
    refused(r"checkpoint\.pt is damaged")
    (folder / "checkpoint.pt").unlink()
    refused(r"the run is finished, but its checkpoint\.pt is missing.*force=true makes it again")
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"finished"', '"interrupted"'))
    refused(r"no checkpoint\.pt: the run ended before its first checkpoint")
    (folder / "manifest.json").write_text(manifest)
    (folder / "checkpoint.pt").write_bytes(checkpoint)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("threshold: 3.0", "threshold: 30.0"))
    refused(r"config\.yaml: method\.layers: threshold", kind=ConfigError)
    (folder / "config.yaml").write_text(config.replace("- 16\n", "- 17\n"))
    refused(r"checkpoint\.pt: the saved state is that of another network than config.yaml describes")
    (folder / "config.yaml").write_text(config)
    assert load_trained(folder).iteration == 29


def test_a_run_whose_data_are_gone_says_so(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNNBENCH_DATA", str(tmp_path))  # nor are they where the user has others
    folder = finished("method=sparse_vd", "epochs=2")
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("name: digits", "name: mnist").replace("root: null", "root: /x"))
    with pytest.raises(BnnbenchError, match=r"(?s)mnist: no train-images.*bnnbench data fetch mnist"):
        load_trained(folder)


def test_an_unfinished_run_is_taken_as_it_is_with_a_note(finished: Run) -> None:
    folder = finished("method=sparse_vd", "epochs=4")
    change_manifest(folder, status="interrupted")
    console = Console(file=io.StringIO(), width=160)
    sparsity_curve(folder, thresholds=[0], formats=["svg"], console=console)
    assert "note: interrupted, not finished: iteration 58 of 58" in console.file.getvalue()


def test_where_training_started_from_need_not_be_there_any_more(run_small: Run, tmp_path: Path) -> None:
    start = run_small("method=adam", "epochs=2")
    folder = run_small("method=sparse_vd", "epochs=2", f"method.init_from={start}")
    shutil.rmtree(start)
    assert load_trained(folder).iteration == 29


def test_the_network_of_a_chain_is_a_copy_with_its_own_parameters(finished: Run) -> None:
    trained = load_trained(finished("method=sparse_vd", "epochs=2", "chains=2", "method.norm=batch"))
    chains = trained.parts.chains
    for chain in (0, 1):
        network = trained.network(chain)
        for name, value in {**dict(network.named_parameters()), **dict(network.named_buffers())}.items():
            stacked = {**chains.parameters, **chains.buffers}[name]
            assert torch.equal(value, stacked[chain])
            assert value.data_ptr() != stacked[chain].data_ptr()
    with pytest.raises(ConfigError, match=r"chain 2: this run has 2 of them\. Take 0 to 1"):
        trained.network(2)
