"""Every mistake is answered in one or two lines, with a way out, and leaves nothing behind."""

from __future__ import annotations

import re

import pytest
from support.cli import left_behind

NO_CHOICE = [
    ("dataset=digit", "dataset=digit: no such choice. Did you mean 'digits'"),
    ("method=psgdl", "method=psgdl: no such choice. Did you mean 'psgld'"),
    ("model=mpl", "model=mpl: no such choice. Did you mean 'mlp'"),
    ("schedule=cosin", "schedule=cosin: no such choice. Did you mean 'cosine'"),
    ("experiment=typo", "experiment=typo: no such choice. Allowed: bbb_mnist"),
    ("dataset=boston", "dataset=uci dataset.name=boston"),
    ("lr=0.1", r"lr: no such key. Did you mean method\.optimizer\.lr\?"),
    ("widths=[3]", r"widths: no such key. Did you mean model\.widths\?"),
    ("method=null", "method, .* take the name of a choice, not null"),
    ("method=", "method=: no such choice. Allowed: adam"),
]
NO_KEY = [  # keys added with a plus: test_cli_bad_values.py has more
    ("datset=digits", "datset: no such key. Did you mean 'dataset'.* Allowed: batch_size, .*schedule, seed"),
    ("method.predictive.thinn=3", "Did you mean 'thin'"),
    ("method.optimiser.lr=1", "method.optimiser: no such key. Did you mean 'optimizer'"),
    ("method.optimizer.alpa=0.9", "method.optimizer.alpa: no such key. Did you mean 'alpha'"),
    ("method.optimizer.eps=1", r"\+method.optimizer.eps="),
    ("method.layers.p=0.5", r"method.layers.p: no such key.*\n.*\+method.layers.p="),
    ("method.optimizer.weight_decay=1", "the prior sets it.* prior.variance="),
    ("+foo=1", "foo: no such key"),
    ("method=sgd +method.predictive.burn_in=3", "method.predictive.burn_in: no such option. Allowed: draws"),
    ("~seed", "seed: missing"),
    ("~method.optimizer.lr", "method.optimizer.lr"),
]
VALUES = [  # one of each kind; test_cli_bad_values.py has the others
    ("method.optimizer.lr=-1", "method.optimizer.lr=-1: the step size must be a number > 0"),
    ("eval.every=0", "eval.every=0: input should be greater"),
    ("temperature=-1", "temperature=-1: input should be a number >= 0 or '1/N'"),
    ("method.norm=bath", "method.norm=bath: input should be 'none', 'batch' or 'layer'. Did you mean 'batch'"),
    ("eval.ood=[kmnst]", "no 'kmnst'. Did you mean 'kmnist'"),
    ("schedule=cosine schedule.final=2", "schedule.final=2: input should be less"),
]
GRAMMAR = [
    ("a=b=[", "a=b=.: not of the form key=value"),
    ("seed", "seed: not of the form key=value"),
    ("method=sgd,sgld", "method=sgd,sgld: several values make a sweep, with -m"),
    ("+experiment=psgld_mnist", "leave out the plus: experiment="),
    ("--frob", "--frob: no such flag"),
    ("--multrun method=sgd", "--multrun: no such flag. Did you mean '--multirun'"),
    ("--cfg jobs", "invalid choice: 'jobs'"),
    ("--config-dir=nowhere", "no such folder"),
    ("-m method=sgd,psgdl", "method=psgdl: no such choice. Did you mean 'psgld'"),
]


@pytest.fixture
def no_data(monkeypatch):
    def load(root, part):
        raise AssertionError("data were read before the configuration was known to be good")

    monkeypatch.setattr("bnnbench.data.digits.load", load)


def assert_refused(result, message):
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) <= 2, result.stderr
    assert re.search(message, result.stderr.rstrip().removeprefix("error: ")), result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("words", "message"), [*NO_CHOICE, *NO_KEY, *VALUES, *GRAMMAR])
def test_mistakes_are_answered_before_data_are_read(words, message, bnnbench, no_data, here):
    assert_refused(bnnbench("run", *words.split()), message)
    assert set(left_behind(here)) <= {"results", "results/multirun.yaml"} if "-m" in words else not left_behind(here)


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_device_that_is_not_there_is_answered_before_data_are_read(device, bnnbench, no_data, here):
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert_refused(bnnbench("run", f"device={device}"), rf"device={device}: not available here. Take device=auto")
    assert not left_behind(here)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("dataset=mnist data.root=nowhere", r"mnist: no .*\n.*bnnbench data fetch mnist"),
        ("eval.ood=[mnist] data.root=nowhere", r"mnist: no .*\n.*bnnbench data fetch mnist"),
        ("dataset.valid=5000", "dataset.valid=5000: 5000 of 1438 training points"),
        ("batch_size=5000", "batch_size=5000 is more than the 1438 training data. Take at most 1438"),
        (
            "epochs=2 members.burn_in=5000 members.thin=50",
            "burn_in=5000 .* no posterior member in 29 iterations.\nTake iterations=5500",
        ),
        ("epochs=2 members.burn_in=5 eval.every=5 method=batchnorm_sgld model=logistic", "nothing to normalise"),
        ("epochs=2 members.burn_in=5 eval.every=5 results=file/below", "file.*: Not a directory"),
    ],
)
def test_what_only_the_data_can_tell_leaves_nothing_behind(words, message, bnnbench, here):
    (here / "file").touch()
    assert_refused(bnnbench("run", *words.split()), message)
    assert left_behind(here) == ["file"]
