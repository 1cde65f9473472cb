"""Stochastic layers within a run: conversion by configuration, the KL in the loss, draws, starts from another run."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.records import manifest_of

from bnnbench import layers
from bnnbench.config import plugins
from bnnbench.config.schema import KL, parse
from bnnbench.errors import ConfigError
from bnnbench.experiment.assembly import Parts, assemble, check
from bnnbench.experiment.run import step
from bnnbench.inference.potential import kl_weight
from bnnbench.inference.random import layer_stream
from bnnbench.layers.base import StochasticLayer
from bnnbench.layers.conversion import kl, sampling
from bnnbench.layers.dropout import Dropout
from bnnbench.layers.from_config import RunPrior, layer_classes, layer_names, make_stochastic
from bnnbench.layers.sparse_vd import SparseVD
from bnnbench.models import build_network

Run = Callable[..., Path]
Compose = Callable[..., dict[str, Any]]
PRIOR = RunPrior("gaussian", std=2.0, biases=True)
MLP = {"name": "mlp", "widths": [6, 5]}


def rows_of(folder: Path, **wanted: str) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if all(row[k] == v for k, v in wanted.items())]


def parts_of(compose: Compose, *overrides: str) -> Parts:
    return assemble(check(compose("model.widths=[12]", "threads=1", *overrides)))


# ---- which layers, with which options


def test_the_files_that_define_a_layer_are_found_by_themselves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known, classes = layer_names(), layer_classes()
    assert known[0] == "deterministic"
    assert {"dropout", "sparse_vd"} < set(known)
    assert "kl" not in known and "base" not in known  # files without a layer
    (tmp_path / "masked.py").write_text(
        "from bnnbench.layers.base import StochasticLayer\nclass Masked(StochasticLayer):\n    pass\n"
    )
    folder = tmp_path / "package" / "layers"
    shutil.copytree(Path(layers.__file__).parent, folder)
    shutil.move(tmp_path / "masked.py", folder)
    monkeypatch.setattr(plugins, "PACKAGE", folder.parent)
    monkeypatch.setattr(layers, "__path__", [*layers.__path__, str(folder)])
    assert set(layer_names()) - set(known) == {"masked"}
    assert set(layer_classes()) - set(classes) == {"Masked"}
    assert layers.Masked.__module__ == "bnnbench.layers.masked"


def test_a_name_that_is_no_class_of_modules_is_refused_in_a_line(compose: Compose) -> None:
    for name in ("math.sqrt", "collections.OrderedDict", "bnnbench.layers.vd.KL"):
        with pytest.raises(
            ConfigError, match=rf"name={name}: it is no subclass of bnnbench\.layers\.base\.StochasticLayer"
        ) as refused:
            check(compose("method=dropout", f"method.layers.name={name}"))
        assert len(str(refused.value).splitlines()) == 1


def test_the_first_layer_can_have_options_of_its_own_and_patterns_choose() -> None:
    network = make_stochastic(
        build_network(MLP, (4,), 3), {"name": "dropout", "keep": 0.5, "input": {"keep": 0.8}, "only": "!out"}, PRIOR
    )
    assert (network.fc1.keep, network.fc2.keep) == (0.8, 0.5)
    assert type(network.out) is torch.nn.Linear
    same = make_stochastic(build_network(MLP, (4,), 3), {"name": "deterministic", "only": None, "input": {}}, PRIOR)
    assert not any(isinstance(m, Dropout) for m in same.modules())


def test_a_layer_with_a_gaussian_prior_of_its_own_takes_the_variance_of_the_run() -> None:
    layers = {"name": "mean_field"}
    assert make_stochastic(build_network(MLP, (4,), 3), layers, PRIOR).fc1.prior_std == 2.0
    given = make_stochastic(build_network(MLP, (4,), 3), {**layers, "prior_std": 0.1}, PRIOR)
    assert given.fc1.prior_std == 0.1
    flat = RunPrior("flat", std=None, biases=True)
    with pytest.raises(ConfigError, match=r"prior\.name=flat.*\+method\.layers\.prior_std"):
        make_stochastic(build_network(MLP, (4,), 3), layers, flat)
    make_stochastic(build_network(MLP, (4,), 3), {**layers, "prior": "mixture"}, flat)  # it has another prior


def test_a_pattern_that_matches_no_layer_is_refused_with_the_names(compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"only=conv\* matches none of them.*fc1, out"):
        parts_of(compose, "method=dropout", "method.layers.only=conv*")


def test_a_misspelt_pattern_beside_good_ones_is_refused(compose: Compose) -> None:
    for only in ("[fc1,fc9]", "['!otu']"):
        with pytest.raises(ConfigError, match=r"only: (fc9|!otu) matches no layer\. There are: fc1, out"):
            parts_of(compose, "method=dropout", f"method.layers.only={only}")


def test_biases_without_a_prior_are_no_random_variables(compose: Compose) -> None:
    assert parts_of(compose, "method=mean_field").chains.network.fc1.bias_rho is not None
    assert parts_of(compose, "method=mean_field", "prior.biases=false").chains.network.fc1.bias_rho is None


@pytest.mark.parametrize("per", ["layer", "unit", "weight"])
@pytest.mark.parametrize("kl_form", ["cubic", "bound", "sigmoid", "none"])
def test_stacked_networks_take_every_kind_of_alpha(per: str, kl_form: str, compose: Compose) -> None:
    alpha = (f"method.layers.per={per}", f"method.layers.kl={kl_form}")
    parts = parts_of(compose, "method=vd", *alpha, "chains=2")
    alone = [kl(parts.chains.network, parts.chains.state_of(k)) for k in range(2)]
    torch.testing.assert_close(parts.chains.kl(), torch.stack(alone))
    step(parts.optimizer, parts.potential, *parts.batches(0), 1e-3)


def test_a_kl_that_never_counts_in_full_is_said(run_small: Run) -> None:
    for overrides, said in ((["method=sparse_vd"], True), (["method=vd"], False), (["method=dropout"], False)):
        manifest = manifest_of(run_small(*overrides))
        assert (
            any(
                "method.kl.full_from=20: the KL never has its full weight in 9.736 epochs" in w
                for w in manifest["warnings"]
            )
            == said
        )


def test_the_memory_of_an_evaluation_does_not_change_its_draws(compose: Compose) -> None:
    found = []
    for size in (100, 2000):
        parts = parts_of(compose, "method=bbb", f"eval.batch_size={size}")
        found.append([row["nll"] for row in parts.evaluator(member=False, iteration=5)])
    assert found[0] == found[1]


def test_a_layer_of_the_users_own(compose: Compose, user_package: Callable[..., None]) -> None:
    user_package(
        "my_layers",
        half="from torch import nn\n"
        "from bnnbench.layers.dropout import Dropout\n"
        "class Half(Dropout):\n"
        "    def __init__(self, layer, strength: float = 1.0):\n"
        "        super().__init__(layer, keep=0.5)\n"
        "        self.strength = strength\n",
    )
    parts = parts_of(compose, "method=sgld", "method.layers.name=my_layers.half.Half", "+method.layers.strength=2.5")
    assert parts.chains.network.fc1.strength == 2.5
    with pytest.raises(ConfigError, match=r"method\.layers\.strenth: no such option. Did you mean 'strength'"):
        check(compose("method=sgld", "method.layers.name=my_layers.half.Half", "+method.layers.strenth=2.5"))


# ---- the objective


def test_the_kl_is_a_sum_over_the_weights_divided_once_by_the_number_of_data(compose: Compose) -> None:
    parts = parts_of(compose, "method=sparse_vd")
    x, y = parts.batches(0)
    with sampling(parts.chains.network, False):
        nll, half, whole = (parts.potential(x, y, beta).item() for beta in (0.0, 0.5, 1.0))
    total = kl(parts.chains.network).item()
    assert total > 1000  # nats: over eight hundred weights at log σ² = −10
    # The loss, of size KL/N, is in single precision.
    tolerance = 4 * torch.finfo(torch.float32).eps * whole
    assert whole - nll == pytest.approx(total / len(parts.data.train), abs=tolerance)
    assert half - nll == pytest.approx(total / len(parts.data.train) / 2, abs=tolerance)


def test_the_gradient_does_not_depend_on_the_batch_size_in_expectation(compose: Compose) -> None:
    """The mean over the minibatches of an epoch is the same for every batch size, and so is the KL's part in each."""
    gradients = {}
    for size in (1437 // 3, 1437):
        parts = parts_of(compose, "method=vd", f"batch_size={size}", "dataset.valid=1", "shuffle=false")
        assert len(parts.data.train) == 1437
        steps = int(parts.batches.steps_per_epoch)
        with sampling(parts.chains.network, False):
            for iteration in range(steps):
                (parts.potential(*parts.batches(iteration)).sum() / steps).backward()
        gradients[size] = {name: p.grad for name, p in parts.chains.parameters.items()}
    for name, whole in gradients[1437].items():
        torch.testing.assert_close(gradients[479][name], whole, rtol=1e-3, atol=1e-6)
    alpha = gradients[1437]["fc1.log_alpha"]  # without draws only the KL has a gradient here
    assert alpha.abs().min() > 0


def test_each_chain_has_the_gradient_of_its_own_kl(compose: Compose) -> None:
    parts = parts_of(compose, "method=sparse_vd", "chains=3")
    values = parts.chains.kl()
    alone = [kl(parts.chains.network, parts.chains.state_of(k)) for k in range(3)]
    torch.testing.assert_close(values, torch.stack(alone))
    assert values.unique().numel() == 3  # initialised apart
    values[1].backward()
    for name, p in parts.chains.parameters.items():
        if not name.endswith("bias"):
            assert p.grad[1].abs().sum() > 0, name
            assert p.grad[0].abs().sum() == p.grad[2].abs().sum() == 0


def test_weights_under_a_kl_leave_the_prior_and_its_parameters_get_no_noise(compose: Compose) -> None:
    parts = parts_of(compose, "method=psgld", "method.layers.name=sparse_vd")
    names = {id(p): n for n, p in parts.chains.parameters.items()}
    groups = {
        names[id(p)]: (group["weight_decay"] > 0, group["temperature"])
        for group in parts.optimizer.param_groups
        for p in group["params"]
    }
    for layer in ("fc1", "out"):
        assert groups[f"{layer}.weight"] == (False, 1.0)
        assert groups[f"{layer}.log_sigma2"] == (False, 0.0)
        assert groups[f"{layer}.bias"] == (True, 1.0)  # no random variable: the run's prior
    plain = parts_of(compose, "method=dropout")  # no KL: the weights keep the prior
    assert all(group["weight_decay"] > 0 for group in plain.optimizer.param_groups)


def test_the_warm_up_is_zero_then_linear_then_constant() -> None:
    plan = KL(scale=2.0, zero_until=5, full_from=20)
    assert [kl_weight(plan, e) for e in (0, 5, 12.5, 20, 100)] == [0, 0, 1.0, 2.0, 2.0]
    assert kl_weight(KL(scale=1.0, zero_until=0, full_from=0), 0) == 1.0
    assert kl_weight(KL(scale=1.0, zero_until=3, full_from=3), 2.99) == 0.0


def test_the_warm_up_holds_back_the_kl_of_a_run(run_small: Run) -> None:
    """While β is 0 nothing pushes log σ² up; once it is 1 the KL falls."""
    held = run_small("method=sparse_vd", "method.kl.zero_until=100", "method.kl.full_from=100")
    full = run_small("method=sparse_vd", "method.kl.zero_until=0", "method.kl.full_from=0")
    last = [float(rows_of(f, predictor="current")[-1]["kl"]) for f in (held, full)]
    first = float(rows_of(full, predictor="current")[0]["kl"])
    assert last[1] < first
    assert last[1] < last[0]


# ---- the predictive


def test_monte_carlo_is_the_mean_over_draws_and_the_current_row_that_of_the_means(run_small: Run) -> None:
    folder = run_small("method=mc_dropout", "method.predictive.draws=3", "chains=2")
    rows = rows_of(folder, iteration="140")
    assert [(r["predictor"], r["chain"], r["members"]) for r in rows] == [
        ("current", "0", "1"),
        ("current", "1", "1"),
        ("posterior", "0", "3"),
        ("posterior", "1", "3"),
        ("posterior", "all", "6"),
    ]
    point = run_small("method=dropout", "chains=2")  # the same training: prediction does not disturb it
    for k in "01":
        mine, theirs = (rows_of(f, predictor="current", chain=k) for f in (folder, point))
        assert [r["nll"] for r in mine] == [r["nll"] for r in theirs]
    assert float(rows[2]["mutual_information"]) > 0
    assert rows[0]["nll"] != rows[2]["nll"]


def test_draws_of_prediction_do_not_repeat_themselves_nor_depend_on_training(compose: Compose) -> None:
    parts = parts_of(compose, "method=mc_dropout")
    nll = [
        next(r["nll"] for r in parts.evaluator(member=False, iteration=i) if r["predictor"] == "posterior")
        for i in (50, 100, 50)
    ]
    assert nll[0] == nll[2]
    assert nll[0] != nll[1]


def test_evaluating_more_often_changes_nothing(run_small: Run) -> None:
    often = run_small("method=mean_field", "eval.every=10")
    seldom = run_small("method=mean_field", "eval.every=70")
    for iteration in ("70", "140"):
        for predictor in ("current", "posterior"):
            pair = [rows_of(f, iteration=iteration, predictor=predictor)[0] for f in (often, seldom)]
            assert pair[0]["nll"] == pair[1]["nll"]
            assert pair[0]["kl"] == pair[1]["kl"]


def test_kl_and_sparsity_are_recorded_where_they_apply(run_small: Run) -> None:
    sparse = rows_of(run_small("method=sparse_vd"), predictor="current")
    assert all(float(r["kl"]) > 0 and 0 <= float(r["sparsity"]) <= 1 for r in sparse)
    posterior = rows_of(run_small("method=mean_field"), predictor="posterior")
    assert all(r["kl"] == r["sparsity"] == "" for r in posterior)
    plain = rows_of(run_small("method=dropout"))
    assert all(r["kl"] == r["sparsity"] == "" for r in plain)


def test_the_fraction_dropped_is_that_of_all_weights(compose: Compose) -> None:
    parts = parts_of(compose, "method=sparse_vd", "method.layers.only=fc1", "chains=2")
    with torch.no_grad():
        parts.chains.parameters["fc1.log_sigma2"].fill_(-40.0)  # nothing is dropped
        parts.chains.parameters["fc1.log_sigma2"][0, :3] = 10.0  # log α far above 3 in three of the twelve rows
    row = [r for r in parts.evaluator(member=False) if r["predictor"] == "current"]
    total = 64 * 12 + 12 * 10
    assert row[0]["sparsity"] == pytest.approx(3 * 64 / total)
    assert row[1]["sparsity"] == 0


@pytest.mark.parametrize("method", ["mean_field", "sparse_vd"])
def test_a_regression_head_takes_stochastic_layers(
    method: str, compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noisy_plane").mkdir()
    (tmp_path / "noisy_plane" / "data.py").write_text(
        "import numpy as np\n"
        "TASK, CLASSES = 'regression', None\n"
        "def load(root, part):\n"
        "    random = np.random.default_rng(0 if part == 'train' else 1)\n"
        "    x = random.normal(size=(60, 3))\n"
        "    return x, x @ np.array([1.0, -2.0, 0.5]) + random.normal(size=len(x))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = ("dataset.name=noisy_plane.data", "dataset.divide=1", "batch_size=20")
    parts = parts_of(compose, f"method={method}", *data, "method.norm=batch", "chains=2")
    assert sum(isinstance(m, StochasticLayer) for m in parts.chains.network.modules()) == 2
    step(parts.optimizer, parts.potential, *parts.batches(0), 1e-3)
    rows = parts.evaluator(member=False)
    assert all(math.isfinite(r["nll"]) and math.isfinite(r["rmse"]) for r in rows)


@pytest.mark.parametrize("method", ["mean_field", "sparse_vd"])
def test_images_and_convolutions_take_stochastic_layers(method: str, compose: Compose) -> None:
    parts = assemble(check(compose(f"method={method}", "model=cnn", "method.norm=batch", "chains=2", "threads=1")))
    assert any(isinstance(m, StochasticLayer) and m.is_conv for m in parts.chains.network.modules())
    step(parts.optimizer, parts.potential, *parts.batches(0), 1e-3)
    assert all(math.isfinite(r["nll"]) for r in parts.evaluator(member=False))


# ---- starting from another run


def test_training_starts_from_the_parameters_of_another_run(run_small: Run, compose: Compose) -> None:
    folder = run_small("method=sgd")
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)["chains"]["parameters"]
    overrides = ("model.widths=[16]", "method=sparse_vd", "method.layers.parametrisation=multiplicative")
    parts = assemble(check(compose(*overrides, f"method.init_from={folder}", "chains=2")))
    for name, value in saved.items():
        for k in range(2):  # a run of one chain starts all
            assert torch.equal(parts.chains.parameters[name][k], value)
    log_alpha = parts.chains.parameters["fc1.log_alpha"][0]  # from log σ² = −10 and the weights that were loaded
    expected = (-10 - saved["fc1.weight"].square().log()).clamp(-8, 8)
    torch.testing.assert_close(log_alpha, expected, rtol=1e-4, atol=1e-4)
    run_small(*overrides[1:], f"method.init_from={folder}")


def test_a_start_from_elsewhere_is_refused_in_a_line(run_small: Run, tmp_path: Path) -> None:
    plain, several = run_small("method=sgd", "epochs=1"), run_small("method=sgd", "epochs=1", "chains=2")
    sparse = run_small("method=sparse_vd", "epochs=1")
    broken = run_small("method=sgd", "epochs=1", "seed=9")
    (broken / "checkpoint.pt").write_bytes(b"nonsense")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "checkpoint.pt").write_bytes(b"nonsense")
    for folder, overrides, message in (
        (plain, ["model.widths=[8]"], r"another network: fc1\.weight is \[16, 64\] there, \[8, 64\] here"),
        (plain, ["method.norm=batch"], "another network: .* missing"),
        (sparse, [], r"a run with stochastic layers, as fc1\.log_sigma2 shows.*deterministic"),
        (sparse, ["model.widths=[8]"], "a run with stochastic layers"),  # before its other size
        (plain / "config.yaml", [], rf"a file, not the folder of a run. Give the folder: {plain}\."),
        (tmp_path / "damaged" / "checkpoint.pt", [], "a file, not the folder of a run.*bnnbench ls runs"),
        (several, ["chains=3"], "it has 2 chains, this run has 3"),
        (tmp_path / "nowhere", [], r"no checkpoint\.pt there.*bnnbench ls runs"),
        (tmp_path / "damaged", [], "is not finished"),
        (broken, [], "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message) as refused:
            run_small("method=vd", f"method.init_from={folder}", "epochs=1", *overrides)
        assert len(str(refused.value).splitlines()) == 1


def test_the_layers_start_where_their_options_say(compose: Compose) -> None:
    parts = assemble(parse(compose("method=sparse_vd", "method.layers.init_log_sigma2=-6", "model.widths=[4]")))
    layer = parts.chains.network.fc1
    assert isinstance(layer, SparseVD)
    assert layer.log_sigma2.unique().tolist() == [-6.0]


# ---- in any company


COMPANY = [
    (0.05, ["method=sgld", "schedule=cyclical"]),
    (1e-3, ["method=psgld", "schedule=polynomial"]),
    (1e-3, ["method=psgld", "method.optimizer.gamma=hutchinson", "method.optimizer.v_adapt=always"]),
    (0.05, ["method=batchnorm_sgld", "schedule=halving"]),
    (1e-3, ["method=rmsprop", "schedule=linear"]),
]
PAIRS = [  # every layer twice and every company twice; the other pairs are for `make test-all`
    pytest.param(layers, *company, marks=() if (j - i) % len(COMPANY) in (0, 1) else pytest.mark.slow)
    for i, layers in enumerate(layer_names()[1:])
    for j, company in enumerate(COMPANY)
]


@pytest.mark.parametrize(("layers", "lr", "method"), PAIRS)
def test_every_kind_of_layer_runs_with_samplers_schedules_and_chains(
    layers: str, lr: float, method: list[str], compose: Compose
) -> None:
    parts = parts_of(compose, *method, f"method.layers.name={layers}", "chains=2", "temperature=1e-3")
    with layer_stream([0, 1], parts.device):
        losses = [
            step(parts.optimizer, parts.potential, *parts.batches(i), lr * parts.schedule(i)).sum().item()
            for i in range(40)
        ]
        rows = parts.evaluator(member=True)
    assert sum(losses[-10:]) < sum(losses[:10])  # it descends
    assert all(math.isfinite(row["nll"]) for row in rows)
