"""The runs of a sweep, composed on one merged base, are those that Hydra composes one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bnnbench.config import composition
from bnnbench.config.composition import Composer, compose
from bnnbench.errors import ConfigError

RUNS = [
    ("method=sgld", "seed=3"),
    ("method=psgld", "method.optimizer.lr=1e-3", "model.widths=[8,8]"),
    ("method=sgld", "+method.optimizer.extra=1", "name=${hydra:job.num}-${seed}"),
    ("name='${hydra:job.id} ${hydra:overrides.hydra}'", "method=sgld"),
    ("experiment=bbb_mnist", "seed=2"),
    ("schedule=polynomial", "schedule.power=0.6", "dataset=digits"),
    ("~method.optimizer.temperature", "method=sgld"),
    ("++dataset.valid=0.25", "dataset={valid_seed: 3}"),
    ("hydra.job.name=other", "name='${hydra:job.name}'"),
]


def numbered(number: int) -> tuple[str, str]:
    return f"hydra.job.num={number}", f"hydra.job.id=bnnbench_{number}"


@pytest.mark.parametrize("common", [(), ("hydra.launcher.n_jobs=2", "hydra/sweeper=bnnbench")])
def test_the_same_configurations(common: tuple[str, ...]) -> None:
    composition_of = Composer(common=common)
    for _ in range(2):  # from files, then from what they were merged into
        for number, overrides in enumerate(RUNS):
            words = (*numbered(number), *overrides)
            assert composition_of.compose(words) == compose([*common, *words]), overrides


@pytest.mark.parametrize("overrides", [run for run in RUNS if "hydra.job.name=other" not in run], ids=" ".join)
def test_hydras_own_part_is_the_same(overrides: tuple[str, ...]) -> None:
    """What ``${hydra:…}`` may refer to: the overrides, the name that they give a folder, the files chosen."""
    words, common = [*numbered(3), *overrides], ["hydra.launcher.n_jobs=2"]
    found, expected = Composer(common=common)._with_values(words), composition._composed([*common, *words], ())
    assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)


@pytest.mark.parametrize(
    "wrong", ["method=sgdl", "metod=sgd", "sede=1", "seed=1,2", "model.widths=[", "+seed=1", "method.nothing.x=1"]
)
def test_the_same_errors(wrong: str) -> None:
    with pytest.raises(ConfigError) as expected:
        compose([wrong])
    with pytest.raises(ConfigError) as found:
        Composer().compose([wrong])
    assert str(found.value) == str(expected.value)


def test_files_are_merged_once_for_each_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    merged = []
    whole = composition._composed
    monkeypatch.setattr(composition, "_composed", lambda words, dirs: (merged.append(words), whole(words, dirs))[1])
    composer = Composer()
    for number, (method, seed) in enumerate([("sgd", 0), ("sgd", 1), ("adam", 0), ("sgd", 2), ("adam", 1)]):
        assert composer.compose((*numbered(number), f"method={method}", f"seed={seed}"))["seed"] == seed
    assert merged == [["method=sgd"], ["method=adam"]]


def test_files_of_a_folder_given(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tiny.yaml").write_text("name: mlp\nlabel: tiny\nwidths: [2]\n")
    composer = Composer([tmp_path])
    assert composer.compose(["model=tiny", "seed=1"]) == compose(["model=tiny", "seed=1"], [tmp_path])
