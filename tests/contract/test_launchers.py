"""What every launcher must do, over every file of bnnbench/sweep/launchers: a new one is checked by being there."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import yaml

from bnnbench.config.composition import compose, conf_dir
from bnnbench.config.plugins import names
from bnnbench.errors import ConfigError
from bnnbench.sweep.hydra_plugin import launchers
from bnnbench.sweep.launchers.base import FuturesLauncher, Launcher

LAUNCHERS = {launcher.__module__.rpartition(".")[2]: launcher for launcher in launchers()}


def settings(name: str) -> dict[str, Any]:
    return yaml.safe_load((conf_dir() / "hydra" / "launcher" / f"{name}.yaml").read_text())


def test_every_file_defines_one_and_has_a_yaml_of_its_name() -> None:
    files = [path.stem for path in sorted((conf_dir() / "hydra" / "launcher").glob("*.yaml"))]
    assert files == sorted(LAUNCHERS)
    assert len(launchers()) == len(LAUNCHERS)
    assert set(LAUNCHERS) <= set(names("sweep/launchers"))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_its_yaml_gives_every_option_and_names_the_class(name: str) -> None:
    given = settings(name)
    launcher = LAUNCHERS[name]
    assert given.pop("_target_") == f"hydra_plugins.bnnbench.{launcher.__name__}"
    for option, parameter in inspect.signature(launcher).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            assert option in given
        if parameter.default is not parameter.empty:
            assert given[option] == parameter.default
    launcher(**given)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_it_can_be_chosen(name: str) -> None:
    assert compose([f"hydra/launcher={name}"]) == compose([])  # where a run takes place is no setting of the run


@pytest.mark.parametrize("name", LAUNCHERS)
@pytest.mark.parametrize("jobs", [0, -1, True, 1.5, "many"])
def test_an_impossible_number_of_jobs_is_refused(name: str, jobs: Any) -> None:
    given = settings(name)
    del given["_target_"]
    with pytest.raises(ConfigError, match=f"n_jobs={jobs}: input should be 'auto' or a whole number >= 1"):
        LAUNCHERS[name](**given | {"n_jobs": jobs}).check()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_it_is_a_launcher_that_stops_when_asked(name: str) -> None:
    launcher = LAUNCHERS[name]
    assert issubclass(launcher, Launcher) and inspect.getdoc(launcher)
    if issubclass(launcher, FuturesLauncher):
        assert not inspect.isabstract(launcher)
        assert launcher.run is FuturesLauncher.run  # the loop that takes results in and loses none
