"""Every mistake is answered in one or two lines, with a way out, and leaves nothing behind."""

from __future__ import annotations

import re

import pytest
from conftest import left_behind  # tests/cli/conftest.py

NO_CHOICE = [
    ("dataset=digit", "dataset=digit: no such choice. Did you mean 'digits'"),
    ("method=psgdl", "method=psgdl: no such choice. Did you mean 'psgld'"),
    ("model=mpl", "model=mpl: no such choice. Did you mean 'mlp'"),
    ("schedule=cosin", "schedule=cosin: no such choice. Did you mean 'cosine'"),
    ("experiment=typo", "experiment=typo: no such choice. Allowed: psgld_mnist"),
    ("method=", "method=: no such choice. Allowed: adam"),
]
NO_KEY = [
    ("datset=digits", "datset: no such key. Did you mean 'dataset'"),
    ("sed=1", "sed: no such key. Did you mean 'seed'"),
    ("eval.evry=3", "eval.evry: no such key. Did you mean 'every'"),
    ("prior.varianc=1", "prior.varianc: no such key. Did you mean 'variance'"),
    ("method.predictive.thinn=3", "Did you mean 'thin'"),
    ("method.upd.lr=1", "method.upd: no such key. Did you mean 'update'"),
    ("method.update.alpa=0.9", "method.update.alpa: no such key. Did you mean 'alpha'"),
    ("method.update.eps=1", r"\+method.update.eps="),
    ("method.update.weight_decay=1", "the prior sets it.* prior.variance="),
    ("+method.update.weight_decay=1", "the prior sets it.* prior.variance="),
    ("+foo=1", "foo: no such key"),
    ("+prior.vriance=1", "prior.vriance: no such key. Did you mean 'variance'"),
    ("+method.foo=1", "method.foo: no such key"),
    ("+method.predictive.foo=1", "method.predictive.foo: no such key. Allowed: average"),
    ("method=sgd +method.predictive.burn_in=3", "method.predictive.burn_in: no such key. Allowed: name"),
    ("+method.update.alfa=1", "method.update.alfa: no such option. Did you mean 'alpha'"),
    ("+model.width=3", "model.width: no such option. Did you mean 'widths'"),
    ("+dataset.split=3", "dataset.split: no such option of 'digits'"),
    ("+schedule.final=3", "schedule.final: no such option"),
    ("~seed", "seed: missing"),
    ("~method.update.lr", "method.update.lr"),
]
OUT_OF_RANGE = [
    ("method.update.lr=-1", "method.update.lr=-1: the step size must be > 0"),
    ("method.update.lr=0", "method.update.lr=0: the step size must be > 0"),
    ("method.update.lr=nan", "method.update.lr=nan: the step size must be > 0"),
    ("method.update.lr=inf", "method.update: lr .* got inf"),
    ("temperature=-1", "temperature=-1: input should be a number >= 0 or '1/N'"),
    ("temperature=nan", "temperature=nan: input should be a finite number or '1/N'"),
    ("temperature=2/N", "temperature=2/N: input should be a number or '1/N'"),
    ("method.update.temperature=-1", "method.update: temperature must be >= 0"),
    ("chains=0", "chains=0: input should be greater than or equal to 1"),
    ("seed=-1", "seed=-1: input should be greater than or equal to 0"),
    ("batch_size=0", "batch_size=0: input should be greater"),
    ("epochs=0", "epochs=0: input should be greater than 0"),
    ("epochs=inf", "epochs=inf: input should be a finite number"),
    ("iterations=0", "iterations=0: input should be"),
    ("threads=0", "threads=0: input should be 'auto' or a number >= 1"),
    ("method.update.alpha=1.5", r"alpha must lie in \[0, 1\], got 1.5"),
    ("method.update.alpha=nan", r"alpha must lie in \[0, 1\], got nan"),
    ("method.update.lambda_=0", "lambda_ .* must be > 0, got 0"),
    ("prior.variance=0", "prior.variance=0: input should be greater than 0"),
    ("prior.variance=nan", "prior.variance=nan: input should be a finite number"),
    ("eval.every=0", "eval.every=0, .*: input should be greater"),
    ("members.thin=0", "members.thin=0, method.predictive.thin=0: input should be greater"),
    ("members.burn_in=-1", "members.burn_in=-1, .*: input should be greater"),
    ("checkpoint_every=-1", "checkpoint_every=-1: input should be greater"),
    ("model.widths=[0]", r"model.widths\[0\]=0: input should be greater than 0"),
    ("model.widths=[]", r"model.widths=\[\]: list should have at least 1 item"),
    ("dataset.divide=0", "dataset.divide=0: input should be greater than 0"),
    ("schedule=cosine schedule.final=2", "schedule.final=2: input should be less"),
]
WRONG_TYPE = [
    ("method.update.lr=abc", "method.update.lr=abc: the step size must be a number"),
    ("method.update.alpha=abc", r"method.update.alpha=abc: input should be a valid number\.$"),
    ("epochs=abc", r"epochs=abc: input should be a valid number\.$"),
    ("seed=1.5", "seed=1.5: input should be a valid integer"),
    ("seed=null", "seed=null: input should be a valid integer"),
    ("batch_size=many", r"batch_size=many: input should be a valid integer\.$"),
    ("temperature=null", "temperature=null: input should be a number or '1/N'"),
    ("model.widths=5", "model.widths=5: input should be a valid list"),
    ("model.widths=[a]", r"model.widths\[0\]=a: input should be a valid integer\.$"),
    ("eval.splits=test", "eval.splits=test: input should be a valid list"),
    ("eval.ood=kmnist", "eval.ood=kmnist: input should be a valid list"),
    ("shuffle=maybe", "shuffle=maybe: input should be a valid boolean"),
    ("results=null", "results=null: input should be a valid string"),
]
WRONG_WORD = [
    ("method.norm=bath", "method.norm=bath: input should be 'none', 'batch' or 'layer'. Did you mean 'batch'"),
    ("method.bn_stats=x", "method.bn_stats=x: input should be 'running'"),
    ("method.update.gamma=foo", "method.update.gamma=foo: input should be 'none', 'exact' or 'hutchinson'"),
    ("method.update.name=psgdl", "method.update.name=psgdl: no such update rule. Did you mean 'psgld'"),
    ("method.update.name=nopkg.rule", "nopkg.rule: not found .* PYTHONPATH"),
    ("method.predictive.name=sample", "method.predictive.name=sample: input should be .* Did you mean 'samples'"),
    ("model.name=mpl", "no 'mpl'. Did you mean 'mlp'"),
    ("model.activation=rule", "model.activation=rule: input should be 'relu', .* Did you mean 'relu'"),
    ("model.init=he_", "model.init=he_: no such initialisation. Did you mean 'he'"),
    ("prior.name=gausian", "prior.name=gausian: input should be .* Did you mean 'gaussian'"),
    ("head=x", "head=x: input should be 'auto'"),
    ("members.average=x", "members.average=x, .*: input should be 'probability'"),
    ("eval.splits=[tst]", r"eval.splits\[0\]=tst: input should be 'valid' or 'test'. Did you mean 'test'"),
    ("eval.ood=[kmnst]", "no 'kmnst'. Did you mean 'kmnist'"),
    ("device=gpu", "device=gpu: not available here"),
    ("threads=x", "threads=x: input should be 'auto' or a whole number"),
]
GRAMMAR = [
    ("a=b=[", "a=b=.: not of the form key=value"),
    ("seed", "seed: not of the form key=value"),
    ("method=sgd,sgld", "method=sgd,sgld: several values make a sweep, with -m"),
    ("sampler@x=1", "no such group"),
    ("--frob", "--frob: no such flag"),
    ("--multrun method=sgd", "--multrun: no such flag. Did you mean '--multirun'"),
    ("--cfg jobs", "invalid choice: 'jobs'"),
    ("--config-dir=nowhere", "nowhere' not found"),
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


@pytest.mark.parametrize(
    ("words", "message"), [*NO_CHOICE, *NO_KEY, *OUT_OF_RANGE, *WRONG_TYPE, *WRONG_WORD, *GRAMMAR]
)
def test_mistakes_are_answered_before_data_are_read(words, message, bnnbench, no_data, here):
    assert_refused(bnnbench("run", *words.split()), message)
    assert set(left_behind(here)) <= {"results", "results/multirun.yaml"} if "-m" in words else not left_behind(here)


def test_a_device_that_is_not_there_is_answered_before_data_are_read(bnnbench, no_data, here):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert_refused(bnnbench("run", "device=cuda"), r"device=cuda: not available here .* Take device=auto")
    assert not left_behind(here)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("dataset=mnist data.root=nowhere", r"mnist: no .*\n.*bnnbench data fetch mnist"),
        ("eval.ood=[mnist] data.root=nowhere", r"mnist: no .*\n.*bnnbench data fetch mnist"),
        ("dataset.valid=5000", "dataset.valid=5000: 5000 of 1438 training points"),
        ("batch_size=5000", "batch_size=5000 is more than the 1438 training data. Take at most 1438"),
        ("epochs=2 members.burn_in=5000", "burn_in=5000 .* no posterior member in 28 iterations. Take more"),
        ("epochs=2 members.burn_in=5 eval.every=5 method=batchnorm_sgld model=logistic", "nothing to normalise"),
        ("epochs=2 members.burn_in=5 eval.every=5 results=file/below", "file.*: Not a directory"),
    ],
)
def test_what_only_the_data_can_tell_leaves_nothing_behind(words, message, bnnbench, here):
    (here / "file").touch()
    assert_refused(bnnbench("run", *words.split()), message)
    assert left_behind(here) == ["file"]
