"""The wheel, built and installed without any network, runs from any folder with its own conf/ and data files."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
PARTS = ("bnnbench", "conf", "pyproject.toml", "README.md", "LICENSE")
PROBE = (
    "import bnnbench; from bnnbench.config.composition import conf_dir; print(bnnbench.__file__, conf_dir(), sep='\\n')"
)

pytest.importorskip("build")
pytest.importorskip("hatchling")
pytest.importorskip("pip")


def call(*words: object, **options) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, env=environment, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: building leaves nothing in the source tree."""
    copy = tmp_path_factory.mktemp("source")
    for part in PARTS:
        source = SOURCE / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / part)
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", copy / "dist", copy)
    (built,) = (copy / "dist").glob("bnnbench-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel; everything else it takes from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    places = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", places))
    lines = [path for path in {*site.getsitepackages(), sysconfig.get_path("purelib")} if Path(path).is_dir()]
    # Behind its own packages on sys.path. A .pth file inside those folders (an editable installation) is not read.
    (packages / "dependencies.pth").write_text("\n".join(lines) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--disable-pip-version-check")
    call(*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel)
    return folder


@pytest.mark.parametrize(
    "file",
    [
        "bnnbench/conf/config.yaml",
        "bnnbench/conf/method/psgld.yaml",
        "bnnbench/data/files/uci.sha256",
        "bnnbench/layers/vd.effect.yaml",
        "bnnbench/experiment/run.py",
    ],
)
def test_the_wheel_holds(file, wheel):
    assert file in zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_every_yaml_and_nothing_that_is_not_the_packages(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for yaml in (SOURCE / "conf").rglob("*.yaml"):
        assert f"bnnbench/conf/{yaml.relative_to(SOURCE / 'conf').as_posix()}" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"bnnbench"}
    assert not [name for name in names if "test" in name or "results/" in name]


def test_the_installed_wheel_runs_elsewhere_with_its_own_files(environment, tmp_path):
    for path in call(environment / "bin" / "python", "-c", PROBE, cwd=tmp_path).splitlines():
        assert Path(path).resolve().is_relative_to(environment.resolve())
    quick = ("epochs=2", "members.burn_in=5", "eval.every=10", "model.widths=[8]", "threads=1")
    shown = call(environment / "bin" / "bnnbench", "run", *quick, cwd=tmp_path)
    assert "results: results/adhoc/digits-mlp-psgld-" in shown
    (manifest,) = (json.loads(path.read_text()) for path in tmp_path.glob("results/*/*/manifest.json"))
    assert manifest["status"] == "finished"
    assert manifest["git_commit"] is None  # no source checkout
