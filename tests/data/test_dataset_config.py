"""conf/dataset/*.yaml and the check of a dataset's configuration, which reads no data file."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bnnbench.data import check_dataset, check_targets
from bnnbench.errors import ConfigError
from bnnbench.tasks.from_config import make_task

YAMLS = sorted((Path(__file__).resolve().parents[2] / "conf/dataset").glob("*.yaml"))


def resolved(path: Path) -> dict:
    return OmegaConf.to_container(OmegaConf.create({"dataset": OmegaConf.load(path)}), resolve=True)["dataset"]


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_yaml_is_valid_and_gives_all_fields(path):
    config = resolved(path)
    check_dataset(config)
    assert {"name", "label", "divide", "center", "valid", "valid_seed", "budget"} <= set(config)
    assert {"epochs", "batch_size"} <= set(config["budget"]) <= {"epochs", "batch_size", "widths", "lr"}
    undocumented = [line for line in path.read_text().splitlines() if "#" not in line]
    assert not undocumented


@pytest.mark.parametrize("name", ["boston", "concrete", "wine", "yacht"])
def test_uci_sets_go_by_name_and_label_follows(name):
    config = OmegaConf.create({"dataset": OmegaConf.load(next(p for p in YAMLS if p.stem == "uci"))})
    config.dataset.name = name
    config.dataset.split = 19
    plain = OmegaConf.to_container(config, resolve=True)["dataset"]
    check_dataset(plain)
    assert plain["label"] == f"UCI {name}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "mnits"}, r"no 'mnits'. Did you mean 'mnist'"),
        ({"devide": 255}, r"dataset.devide: no such option of 'mnist'. Did you mean 'divide'"),
        ({"split": 3}, r"dataset.split: no such option of 'mnist'"),
        ({"root": "/tmp"}, r"dataset.root: no such option"),
        ({"divide": 0}, r"dataset.divide=0: input should be greater than 0"),
        ({"divide": float("inf")}, r"dataset.divide=inf"),
        ({"divide": "much"}, r"dataset.divide=much"),
        ({"center": "mean"}, r"dataset.center=mean: input should be 'none', 'mean_image' or 'standardise'"),
        ({"valid": -1}, r"dataset.valid=-1: input should be greater than or equal to 0"),
        ({"valid": 1.5}, r"dataset.valid=1.5: a whole number of points, or a fraction below 1"),
        ({"valid_seed": -1}, r"dataset.valid_seed=-1"),
    ],
)
def test_wrong_configuration_is_answered_without_reading_files(change, message):
    with pytest.raises(ConfigError, match=message):
        check_dataset({"name": "mnist", **change})


@pytest.mark.parametrize("split", [-1, 20, "three"])
def test_uci_split_has_a_range(split):
    with pytest.raises(ConfigError, match=rf"dataset.split={split}"):
        check_dataset({"name": "boston", "split": split})


def test_ood_names_are_checked():
    check_dataset({"name": "mnist"}, ood=["kmnist", "fashion_mnist"])
    with pytest.raises(ConfigError, match="Did you mean 'kmnist'"):
        check_dataset({"name": "mnist"}, ood=["kmnits"])
    with pytest.raises(ConfigError, match="kmnist given twice"):
        check_dataset({"name": "mnist"}, ood=["kmnist", "kmnist"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("TASK = 3\nCLASSES = 2\ndef load(root, part): ...", "TASK = 3; it must be the name of a task"),
        ("TASK = 'regression'\nCLASSES = None", "no function 'load"),
    ],
)
def test_users_module_must_be_a_dataset(user_set, source, message):
    with pytest.raises(ConfigError, match=message):
        check_dataset({"name": user_set(source)})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("TASK, CLASSES = 'ranking', 2", "task.name=ranking: no such choice"),
        ("TASK = 'classification'", "CLASSES = None; for classification"),
        ("TASK, CLASSES = 'regression', 3", "CLASSES = 3; for regression"),
    ],
)
def test_a_users_set_must_fit_its_task(user_set, source, message):
    found = check_dataset({"name": user_set(f"{source}\ndef load(root, part): ...")})
    with pytest.raises(ConfigError, match=message):
        make_task({}, dataset=found.name, default=found.task, classes=found.classes)


def test_users_options_are_checked_by_the_signature(user_set):
    name = user_set("TASK, CLASSES = 'regression', None\ndef load(root, part, *, noise: float, rows: int = 5): ...")
    check_dataset({"name": name, "noise": 0.1})
    with pytest.raises(ConfigError, match=r"dataset: needs noise"):
        check_dataset({"name": name})
    with pytest.raises(ConfigError, match=r"dataset.rows=few"):
        check_dataset({"name": name, "noise": 0.1, "rows": "few"})
    with pytest.raises(ConfigError, match=r"eval.ood: .*needs noise"):
        check_dataset({"name": "digits"}, ood=[name])


def test_targets_that_are_classes_are_not_standardised():
    digits = {"name": "digits", "standardise_target": True}
    source = check_dataset(digits)
    task = make_task({}, dataset="digits", default=source.task, classes=source.classes)
    with pytest.raises(ConfigError, match=r"dataset\.standardise_target: 'digits' is classification"):
        check_targets(digits, task)
