"""`bnnbench check` on samplers that are right and samplers that are wrong, of the package's and of the user's own."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from support.cli import invoke
from support.user_code import package

from bnnbench.check import plan
from bnnbench.check.case import Case, run
from bnnbench.check.gradient_noise.independent import IndependentMinibatches
from bnnbench.check.gradient_noise.none import NoNoise
from bnnbench.check.sampler import Sampler
from bnnbench.check.targets.gaussian_isotropic import GaussianIsotropic
from bnnbench.check.targets.linear_regression import LinearRegression

MINE = """
import math
import torch
from bnnbench.samplers import SGLD

class Langevin(torch.optim.Optimizer):
    injects_noise = True

    def __init__(self, params, lr: float, num_data: int, temperature: float = 1.0):
        super().__init__(params, {"lr": lr, "num_data": num_data, "temperature": temperature})

    def noise_variance(self, group):
        return 2 * group["lr"] * group["temperature"] / group["num_data"]

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
                p.add_(torch.randn_like(p), alpha=math.sqrt(self.noise_variance(group)))

class HalfNoise(Langevin):
    def noise_variance(self, group):
        return super().noise_variance(group) / 2

class NoN(Langevin):
    def noise_variance(self, group):
        return 2 * group["lr"] * group["temperature"]

class HalfNoiseSGLD(SGLD):
    def __init__(self, params, lr: float, num_data: int, temperature: float = 1.0, weight_decay: float = 0.0,
                 noise=None):
        super().__init__(params, lr, num_data, temperature / 2, weight_decay, noise)
        for group in self.param_groups:
            group["temperature"] = temperature / 2

class NFoldPrior(SGLD):
    def __init__(self, params, lr: float, num_data: int, temperature: float = 1.0, weight_decay: float = 0.0,
                 noise=None):
        super().__init__(params, lr, num_data, temperature, 10 * weight_decay, noise)

class Uphill(Langevin):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=group["lr"])

class Raises(Langevin):
    def step(self, closure=None):
        raise RuntimeError("boom")

class Misshapen(SGLD):
    def preconditioner(self, parameter):
        return torch.ones(3)

class Forgetful(torch.optim.Optimizer):
    def __init__(self, params, lr: float, temperature: float = 1.0):
        super().__init__(params, {"lr": lr})
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    with package(tmp_path / "mycheck", rules=MINE):
        yield "mycheck.rules"


def verdicts(sampler: Sampler, target=None, noise=None, temperature=1.0, h=0.1) -> dict[str, str]:
    case = Case(target or GaussianIsotropic(), noise or NoNoise(), temperature, h, rounds=3)
    return {row.moment: row.verdict for row in run(case, sampler, seed=0)}


RIGHT = {"mean": "pass", "variance": "pass"}


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_a_right_sampler_of_the_users_passes_without_a_law(mine, temperature) -> None:
    assert verdicts(Sampler(f"{mine}.Langevin"), temperature=temperature) == RIGHT
    assert verdicts(Sampler(f"{mine}.Langevin"), LinearRegression(), temperature=temperature) == RIGHT


@pytest.mark.parametrize("wrong", ["HalfNoise", "NoN", "HalfNoiseSGLD"])
def test_a_wrong_noise_fails(mine, wrong) -> None:
    assert verdicts(Sampler(f"{mine}.{wrong}"))["variance"] == "fail"


def test_a_wrong_noise_fails_against_the_law_beside_minibatches(mine) -> None:
    """The posterior is missed by right samplers too here: the law alone tells them apart."""
    noise = IndependentMinibatches()
    assert verdicts(Sampler("sgld"), noise=noise, h=0.5) == RIGHT
    assert verdicts(Sampler(f"{mine}.HalfNoiseSGLD"), noise=noise, h=0.5)["variance"] == "fail"


def test_a_wrong_prior_fails(mine) -> None:
    assert "fail" in verdicts(Sampler(f"{mine}.NFoldPrior"), LinearRegression(), h=0.5).values()


def test_a_preconditioner_that_follows_theta_fails() -> None:
    """As printed, pSGLD has another law than the posterior: smaller steps do not help."""
    moving = Sampler("psgld", {"v_adapt": "always", "lambda_": 1e-4})
    assert verdicts(moving, h=0.02)["variance"] == "fail"
    assert verdicts(Sampler("psgld", {"v_adapt": "burn_in", "lambda_": 1e-4}), h=0.5) == RIGHT


def test_few_draws_are_unresolved() -> None:
    case = Case(GaussianIsotropic(), NoNoise(), 1.0, 0.1, chains=64, rounds=1)
    assert {row.verdict for row in run(case, Sampler("sgld"), seed=0)} == {"unresolved"}


def test_a_setting_without_a_law_is_left_out(mine) -> None:
    assert verdicts(Sampler(f"{mine}.Langevin"), noise=IndependentMinibatches()) == {}
    assert verdicts(Sampler(f"{mine}.Langevin"), h=0.5) == {}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pslgd", "Did you mean 'psgld'"),
        ("adam", "an optimiser, which draws no samples"),
        ("nowhere.Rule", "not found"),
        ("{mine}.Forgetful", "does not say whether it injects noise"),
    ],
)
def test_what_is_no_sampler_is_refused_in_a_line(mine, name, said) -> None:
    result = invoke("check", f"method.optimizer.name={name.format(mine=mine)}", "--quick")
    assert result.exit_code == 1
    assert said in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=sgd"], "an optimiser, which draws no samples"),
        (["method=sgld,sgd"], "an optimiser, which draws no samples"),
        (["method=slgd"], "or 'sgld'?"),
        (["method=sgld", "method.optimizer.alpha=0.5"], "alpha"),
        (["dataset=mnist"], "not for a check"),
        (["method=sgld", "temperature=1/N"], "temperature=1/N"),
        (["method=sgld", "method.optimizer.lr=-1"], "must be a number > 0"),
        (["--publish", "--quick"], "goes alone"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_bad_words_are_answered_in_a_line(words, said) -> None:
    result = invoke("check", *words)
    assert result.exit_code == 1
    assert said in result.stderr and result.stderr.count("\n") <= 2


@pytest.mark.parametrize(
    ("rule", "said"),
    [("Uphill", "do not go against the gradient"), ("Raises", "boom"), ("Misshapen", "parameter's shape")],
)
def test_a_broken_rule_of_the_users_is_told_in_a_line(mine, rule, said) -> None:
    result = invoke("check", f"method.optimizer.name={mine}.{rule}", "--quick")
    assert result.exit_code == 1 and said in result.stderr


@pytest.mark.parametrize("quick", [True, False])
def test_settings_are_each_there_once(quick) -> None:
    def settings(**given: float) -> list[tuple]:
        cases = plan.cases(Sampler("sgld", **given), quick)
        return [(case.target.name, case.noise.name, case.temperature, case.h) for case in cases]

    for given in ({}, {"temperature": 0.25}, {"temperature": 0.0}, {"lr": 0.1}):
        found = settings(**given)
        assert found and len(found) == len(set(found))
    assert ("gaussian_isotropic", "none", 0.25, 0.1) in settings(temperature=0.25)
    assert not [noise for _, noise, _, _ in settings(temperature=0.0) if noise == "none"]
    assert {name for name, *_ in settings()} <= {target.name for target in plan.targets()}


@pytest.fixture
def one_setting(monkeypatch):
    """The settings are one: the others are in `make check`."""
    monkeypatch.setattr(
        plan, "cases", lambda sampler, quick: iter([Case(GaussianIsotropic(), NoNoise(), 1.0, 0.1, rounds=3)])
    )


def test_steps_that_are_too_large_fail_with_a_reason(one_setting) -> None:
    result = invoke("check", "method=sgld", "method.optimizer.lr=5")
    assert result.exit_code == 1
    assert "diverged" in result.stderr and "smaller" in result.stderr and "1 fail" in result.stdout


def test_a_method_of_the_users_own_yaml_is_checked(one_setting, mine, tmp_path: Path) -> None:
    (tmp_path / "conf" / "method").mkdir(parents=True)
    yaml = f"name: half\noptimizer: {{name: {mine}.HalfNoise, lr: 1.0}}\npredictive: {{name: point}}\n"
    (tmp_path / "conf" / "method" / "half.yaml").write_text(yaml, encoding="utf-8")
    result = invoke("check", "method=half", "--config-dir", str(tmp_path / "conf"))
    assert result.exit_code == 1 and f"{mine}.HalfNoise" in result.stdout and "1 fail" in result.stdout


def test_steps_that_are_too_small_are_unresolved(one_setting) -> None:
    result = invoke("check", "method=sgld", "method.optimizer.lr=1e-6")
    assert result.exit_code == 0
    assert "larger step size" in result.stderr and "1 unresolved" in result.stdout


def _variance(path: Path) -> str:
    with path.open(newline="") as file:
        return next(row["estimate"] for row in csv.DictReader(file) if row["moment"] == "variance")


def test_the_command_tells_what_has_moved(one_setting, mine, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    assert invoke("check", "method=sgld", "--out", str(out)).exit_code == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["pass", "pass"]
    assert out.with_suffix(".json").is_file()
    again = invoke("check", "method=sgld", "--out", str(out), "--seed", "1")
    assert "no number has moved" in again.stdout
    out.write_text(out.read_text().replace(_variance(out), "1.5"))
    moved = invoke("check", "method=sgld", "--out", str(out), "--seed", "1")
    assert "moved: sgld, gaussian_isotropic, none, T = 1, h = 0.1: variance 1.0" in moved.stdout
    assert "was 1.5" in moved.stdout and "mean" not in moved.stdout.partition("moved:")[2].partition("pass")[0]
    wrong = invoke("check", f"method.optimizer.name={mine}.HalfNoise", "--out", str(out))
    assert wrong.exit_code == 1 and "1 fail" in wrong.stdout


def test_torch_is_left_with_its_threads(one_setting) -> None:
    torch.set_num_threads(1)
    invoke("check", "method=sgld")
    assert torch.get_num_threads() == 1
