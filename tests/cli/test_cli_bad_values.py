"""Values of a wrong type, out of range or misspelt, and keys added with a plus, are refused in a line or two.

No data are read for it. The composed configuration is changed directly: composing it anew for each case would take
ten times as long.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from support.cli import invoke

from bnnbench.config.composition import conf_dir
from bnnbench.errors import ConfigError
from bnnbench.experiment.assembly import check

OUT_OF_RANGE = [
    ("method.optimizer.lr=-1", "method.optimizer.lr=-1: the step size must be a number > 0"),
    ("method.optimizer.lr=0", "method.optimizer.lr=0: the step size must be a number > 0"),
    ("method.optimizer.lr=nan", "method.optimizer.lr=nan: the step size must be a number > 0"),
    ("method.optimizer.lr=inf", "method.optimizer.lr=inf: the step size must be a number > 0"),
    ("temperature=-1", "temperature=-1: input should be a number >= 0 or '1/N'"),
    ("temperature=nan", "temperature=nan: input should be a finite number or '1/N'"),
    ("temperature=2/N", "temperature=2/N: input should be a number or '1/N'"),
    ("method.optimizer.temperature=-1", "method.optimizer: temperature must be >= 0"),
    ("chains=0", "chains=0: input should be greater than or equal to 1"),
    ("seed=-1", "seed=-1: input should be greater than or equal to 0"),
    ("batch_size=0", "batch_size=0: input should be greater"),
    ("epochs=0", "epochs=0: input should be greater than 0"),
    ("epochs=inf", "epochs=inf: input should be a finite number"),
    ("iterations=0", "iterations=0: input should be"),
    ("threads=0", "threads=0: input should be 'auto' or a number >= 1"),
    ("method.optimizer.alpha=1.5", r"alpha must lie in \[0, 1\], got 1.5"),
    ("method.optimizer.alpha=nan", r"alpha must lie in \[0, 1\], got nan"),
    ("method.optimizer.lambda_=0", "lambda_ .* must be > 0, got 0"),
    ("prior.variance=0", "prior.variance=0: input should be greater than 0"),
    ("prior.variance=nan", "prior.variance=nan: input should be"),
    ("eval.every=0", "eval.every=0: input should be greater"),
    ("members.thin=0", "members.thin=0: input should be greater"),
    ("members.burn_in=-1", "members.burn_in=-1: input should be greater"),
    ("checkpoint_every=-1", "checkpoint_every=-1: input should be greater"),
    ("model.widths=[0]", r"model.widths\[0\]=0: input should be greater than 0"),
    ("model.widths=[]", r"model.widths=\[\]: list should have at least 1 item"),
    ("dataset.divide=0", "dataset.divide=0: input should be greater than 0"),
]
LAYERS = [
    ("method.layers.name=sparce_vd", "method.layers.name=sparce_vd: no such layer. Did you mean 'sparse_vd'"),
    ("method.layers.name=kl", "method.layers.name=kl: no such layer. .*dropout"),
    ("method.layers.name=nopkg.layer", "nopkg.layer: not found .* PYTHONPATH"),
    ("method.layers={name: dropout, keep: 0}", r"method.layers: keep .* must be in \(0, 1\], got 0"),
    (
        "method.layers={name: dropout, keep: 0.5, input: {keep: 1.5}}",
        r"method.layers.input: keep .* must be in \(0, 1\], got 1.5",
    ),
    ("method.layers={name: dropout, threshold: 3}", "method.layers.threshold: no such option"),
    ("method.layers={name: dropout, keep: half}", "method.layers.keep=half: input should be a valid number"),
    ("method.layers={name: dropout, sample: true}", "method.layers.sample: no such option"),
    ("method.layers={name: vd, max_alpha: 2}", "kl=cubic holds for α ≤ 1 only, got max_alpha=2"),
    ("method.layers={name: vd, alpha: 1.5}", r"alpha must be in \(0, 1\] with kl=cubic, got 1.5"),
    ("method.layers={name: vd, alpha: 0}", "alpha must be finite and > 0, got 0"),
    ("method.layers={name: sparse_vd, threshold: 9}", r"threshold .* must be in \[-8, 8\], .* got 9"),
    ("method.layers={name: vd, kl: cubi}", "method.layers.kl=cubi: input should be 'cubic', .* Did you mean 'cubic'"),
    ("method.layers={name: mean_field, mixture: [0.5, 1]}", r"method.layers.mixture\[2\]=null: field required"),
    ("method.layers={name: dropout, keep: true}", "method.layers.keep=true: input should be a number"),
    ("method.layers={name: dropout, keep: 0.5, only: []}", r"method.layers.only=\[\]: .* null for all layers"),
    ("method.layers={name: mean_field, mixture: [1, 1, 1]}", r"mixture must be \(π, σ1, σ2\)"),
    ("method.layers={name: deterministic, p: 0.5}", "deterministic takes no options, got p"),
    ("method.layers={name: vd, only: 3}", "method.layers.only=3: give a pattern or a list"),
    ("method.layers={name: vd, input: 3}", "method.layers.input=3: give options of the first layer"),
    ("method.layers={name: null}", "method.layers.name=None: give the name of a layer: deterministic, dropout"),
    ("method.predictive={name: monte_carlo, draws: 5}", "deterministic layers have nothing to draw"),
    ("method.predictive={name: monte_carlo, draws: 0}", "method.predictive.draws=0: input should be greater"),
    ("method.kl.scale=-1", "method.kl.scale=-1: input should be greater than or equal to 0"),
    ("method.kl.zero_until=5", "method.kl.full_from=0 comes before method.kl.zero_until=5"),
]
NO_KEY = [
    ("+method.optimizer.weight_decay=1", "the prior sets it.* prior.variance="),
    ("+prior.vriance=1", "prior.vriance: no such option. Did you mean 'variance'"),
    ("+method.foo=1", "method.foo: no such key"),
    ("+method.predictive.foo=1", "method.predictive.foo: no such option. Allowed: average"),
    ("+model.width=3", "model.width: no such option. Did you mean 'widths'"),
    ("+dataset.split=3", "dataset.split: no such option of 'digits'"),
    ("+schedule.final=3", "schedule.final: no such option"),
]
WRONG_TYPE = [
    ("method.optimizer.lr=abc", "method.optimizer.lr=abc: the step size must be a number"),
    ("method.optimizer.alpha=abc", r"method.optimizer.alpha=abc: input should be a valid number\.$"),
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
    ("method.optimizer.gamma=foo", "method.optimizer.gamma=foo: input should be 'none', 'exact' or 'hutchinson'"),
    ("results='~nobody_here/x'", "results=~nobody_here/x: input should not begin with the ~ of an unknown user"),
    ("method.optimizer.name=psgdl", "method.optimizer.name=psgdl: no such update rule. Did you mean 'psgld'"),
    ("method.optimizer.name=nopkg.rule", "nopkg.rule: not found .* PYTHONPATH"),
    ("method.predictive.name=sample", "method.predictive.name=sample: no such choice. Did you mean 'samples'"),
    ("model.name=mpl", "no 'mpl'. Did you mean 'mlp'"),
    ("model.activation=rule", "model.activation=rule: input should be 'relu', .* Did you mean 'relu'"),
    ("model.init=he_", "model.init=he_: no such initialisation. Did you mean 'he'"),
    ("prior.name=gausian", "prior.name=gausian: no such choice. Did you mean 'gaussian'"),
    ("task.head=x", "task.head=x: input should be 'softmax'"),
    ("members.average=x", "members.average=x: input should be 'probability'"),
    ("eval.splits=[tst]", r"eval.splits\[0\]=tst: input should be 'valid' or 'test'. Did you mean 'test'"),
    ("eval.ood=[kmnst]", "no 'kmnst'. Did you mean 'kmnist'"),
    ("threads=x", "threads=x: input should be 'auto' or a whole number"),
]


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config")


def changed(composed: DictConfig, override: str) -> dict[str, Any]:
    parsed = OverridesParser.create().parse_override(override)  # nan and 5e-4 as the command line reads them
    config = composed.copy()
    whole = parsed.key_or_group in ("method.layers", "method.predictive")  # given anew: nothing of the old remains
    OmegaConf.update(config, parsed.key_or_group, parsed.value(), force_add=parsed.is_add() or whole, merge=not whole)
    return OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize(("override", "message"), [*OUT_OF_RANGE, *LAYERS, *NO_KEY, *WRONG_TYPE, *WRONG_WORD])
def test_a_wrong_value_is_named_with_what_is_allowed(override, message, composed, monkeypatch):
    def load(root, part):
        raise AssertionError("data were read before the configuration was known to be good")

    monkeypatch.setattr("bnnbench.data.digits.load", load)
    with pytest.raises(ConfigError) as refused:
        check(changed(composed, override))
    assert len(str(refused.value).splitlines()) <= 2
    assert re.search(message, str(refused.value))


@pytest.mark.parametrize(
    "override",
    ["temperature=1/N", "temperature=0", "prior.name=flat", "eval.ood=[kmnist]", "iterations=5", "threads=2"],
)
def test_a_good_value_is_taken(override, composed):
    check(changed(composed, override))


@pytest.mark.parametrize(
    "words",
    [
        ("seed=1", "seed=2"),
        ("-m", "seed=0,1", "method=sgd", "seed=2"),
        ("method=sgd",) * 2,
        ("+own=1", "own=2"),
        ("++seed=1", "seed=2"),
    ],
)
def test_a_key_given_twice_is_refused(words: tuple[str, ...], here: Path) -> None:
    key = words[-1].partition("=")[0]
    refused = invoke("run", *words)
    assert refused.exit_code == 1
    assert f"'{key}' is given twice. Give it once." in refused.stderr and words[-1] in refused.stderr
    assert not list(here.iterdir())


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_another_programs_sweeper_is_refused_before_the_first_run(sign: str, here: Path) -> None:
    refused = invoke("run", "-m", f"{sign}hydra/sweeper=optuna", "seed=0,1")
    assert refused.exit_code == 1
    assert "hydra/sweeper=optuna: no run returns a score" in refused.stderr and "`bnnbench tune`" in refused.stderr
    assert not list(here.iterdir())


@pytest.mark.parametrize("words", [("seed=range(0,1000000)",), ("seed=range(0,2000)", "temperature=range(0,1,0.01)")])
def test_a_sweep_without_end_is_refused_before_it_is_written_out(words: tuple[str, ...], here: Path) -> None:
    refused = invoke("run", "-m", *words)
    assert refused.exit_code == 1
    assert "at most 100000 are planned at once" in refused.stderr
    assert not list(here.iterdir())


def test_a_word_of_thousands_of_values_is_refused(here: Path) -> None:
    refused = invoke("run", f"model.widths=[{','.join(['4'] * 3000)}]")
    assert refused.exit_code == 1
    assert "3000 values; at most 2000 are read from a word" in refused.stderr
