"""A task of a user: Poisson counts with a head and a measure that the package does not know, from run to export."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import crash
from support.cli import invoke
from support.records import manifest_of, numbers, table

from bnnbench.deploy.export import load_network
from bnnbench.experiment.run import run
from bnnbench.store.folder import run_path

COUNTS = '''
"""Poisson regression: p(y | x, θ) = Poisson(y; λ); the output of the network is log λ, or λ before a softplus."""
import torch
from typing import Literal
from bnnbench.errors import DataError
from bnnbench.tasks.base import Task
from bnnbench.tasks.measures import Measure


class Rates:
    """Mean rate over members, [K, N]."""

    def __init__(self):
        self.members, self.weight, self.mean = 0, 0.0, None

    def add(self, rate, weight=1.0):
        if weight == 0:
            return
        self.members, self.weight = self.members + 1, self.weight + weight
        self.mean = rate.clone() if self.mean is None else self.mean.lerp(rate, weight / self.weight)

    def state_dict(self):
        return dict(vars(self))

    def load_state_dict(self, state):
        vars(self).update(state)


class Counts(Task):
    measures = ("nll", Measure(name="deviance", words="Poisson deviance", unit="nats", more_is_better=False))
    score = "deviance"
    outputs = 1

    def __init__(self, head: Literal["log", "softplus"] = "log"):
        self.head = head

    @property
    def options(self):
        return {"head": self.head}

    def check(self, y, where):
        if (y < 0).any():
            raise DataError(f"{where}: counts >= 0 expected.")
        return y.float()

    def rate(self, output):
        value = output.squeeze(-1)
        return value.exp() if self.head == "log" else torch.nn.functional.softplus(value)

    def nll(self, output, y):
        rate = self.rate(output)
        return (rate - y * rate.log() + torch.lgamma(y + 1)).mean(-1)

    def predict(self, output):
        return self.rate(output)

    def predictive(self, y, average="probability"):
        return Rates()

    def scores(self, predictive, y, pooled=False):
        rate = predictive.mean.mean(0, keepdim=True) if pooled else predictive.mean
        y = y.double()
        nll = (rate - y * rate.log() + torch.lgamma(y + 1)).mean(-1)
        return {"nll": nll, "deviance": 2 * (torch.xlogy(y, y / rate) - (y - rate)).mean(-1)}
'''
VISITS = '''
"""Counts that depend on two inputs."""
import torch
TASK = "theirs.counts"
CLASSES = None
def load(root, part):
    generator = torch.Generator().manual_seed({"train": 0, "test": 1}[part])
    x = torch.rand(200, 2, generator=generator)
    return x, torch.poisson((1 + 2 * x[:, 0]).exp(), generator=generator)
'''
VISITS_YAML = """
name: theirs.visits
label: Visits
valid: 0.2
budget: {epochs: 30, batch_size: 20, eval_every: 20, burn_in: 40}
"""
SETTINGS = ("dataset=visits", "model.widths=[8]", "threads=1", "checkpoint_every=0", "--config-dir", "conf")


@pytest.fixture(autouse=True)
def theirs(user_package: Callable[..., None], here: Path) -> None:
    user_package("theirs", counts=COUNTS, visits=VISITS)
    (here / "conf" / "dataset").mkdir(parents=True)
    (here / "conf" / "dataset" / "visits.yaml").write_text(VISITS_YAML)


def folders(here: Path) -> list[Path]:
    return sorted(path.parent for path in here.glob("results/*/*/manifest.json"))


def test_a_third_task_goes_through_all_verbs(here: Path) -> None:
    for method in ("sgld", "sgd"):
        for seed in (0, 1):
            done = invoke("run", f"method={method}", "method.optimizer.lr=0.002", f"seed={seed}", *SETTINGS)
            assert done.exit_code == 0, done.stderr
            assert "Poisson deviance" in done.stdout
    sgld = next(folder for folder in folders(here) if "-sgld-" in folder.name)
    manifest = json.loads((sgld / "manifest.json").read_text())
    assert (manifest["score"], [m["name"] for m in manifest["measures"]]) == ("deviance", ["deviance"])
    first, last = table(sgld)[0], table(sgld)[-1]
    assert last["predictor"] == "posterior" and last["error"] == "" == last["rmse"]
    assert float(last["deviance"]) < 0.5 * float(first["deviance"])  # it has learnt something

    assert "deviance" in invoke("ls", "runs").stdout or f"{float(last['deviance']):.4g}" in invoke("ls", "runs").stdout
    compared = invoke("compare", "results", "--out", "table.csv")
    assert compared.exit_code == 0 and "Poisson deviance" in compared.stdout
    with Path("table.csv").open(encoding="utf-8") as stream:
        compared_rows = {row["method"]: row for row in csv.DictReader(stream)}
    assert compared_rows["sgld"]["compared_in"] == "deviance"  # the task's score, without being asked for
    ends = [float(table(folder)[-1]["deviance"]) for folder in folders(here) if "-sgld-" in folder.name]
    assert float(compared_rows["sgld"]["deviance_mean"]) == pytest.approx(sum(ends) / 2)

    drawn = invoke("plot", "results", "--metric", "deviance", "--out", "figure", "--formats", "svg")
    assert drawn.exit_code == 0 and "Poisson deviance" in Path("figure.svg").read_text()
    collected = invoke("collect", "results", "--out", "all.csv")
    assert collected.exit_code == 0 and "deviance" in Path("all.csv").read_text().splitlines()[0].split(",")

    refused = invoke("export", str(sgld))
    assert refused.exit_code == 1 and "--allow-code theirs" in refused.stderr
    exported = invoke("export", str(sgld), "--allow-code", "theirs")
    assert exported.exit_code == 0, exported.stderr
    assert "predictions equal the run's to the bit" in exported.stdout
    network = load_network(sgld / "network.pt", allow_code=["theirs"])
    assert network(torch.zeros(3, 2)).shape == (3, 1)


@pytest.mark.parametrize("head", ["log", "softplus"])
def test_it_is_killed_and_continues_with_the_same_numbers(head: str, compose: Callable[..., Any], here: Path) -> None:
    def raw(results: str) -> dict[str, Any]:
        found = ("dataset=uci", "dataset.name=theirs.visits", "~dataset.split", "epochs=60", "batch_size=20")
        sampler = ("method=sgld", "method.optimizer.lr=0.002", "members.burn_in=40", "eval.every=20")
        settings = ("model.widths=[8]", "threads=1", "checkpoint_every=0", "dataset.standardise_target=null")
        return compose(*found, *sampler, *settings, "chains=2", f"task.head={head}", f"results={here / results}")

    untouched = run(raw("untouched"))
    process, folder = crash.start(raw("killed")), run_path(raw("killed"))
    deadline = time.monotonic() + 300
    while not (folder / "checkpoint.pt").is_file() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.join()
    assert manifest_of(folder)["status"] == "running" and 0 < len(table(folder)) < len(table(untouched))
    killed = run(raw("killed"))
    assert numbers(killed) == numbers(untouched)
    assert len(table(killed)) == len(table(untouched)) > 20


def test_what_the_task_refuses_is_said_in_a_line(here: Path) -> None:
    refused = invoke("run", "method=sgd", "task.head=logit", *SETTINGS)
    assert refused.exit_code == 1
    assert refused.stderr.strip() == "error: task.head=logit: input should be 'log' or 'softplus'. Did you mean 'log'?"
    visits = here / "theirs" / "visits.py"
    shutil.copy(visits, here / "kept.py")
    visits.write_text(VISITS.replace("torch.poisson", "-torch.poisson"))
    import sys

    sys.modules.pop("theirs.visits", None)
    refused = invoke("run", "method=sgd", *SETTINGS)
    assert refused.exit_code == 1
    assert refused.stderr.strip() == "error: theirs.visits (train): counts >= 0 expected."
