"""B2: settings of the law that a sampler follows: temperature, V and its adaptation, Γ, λ, noise."""

from __future__ import annotations

import csv
import math

from hostile.case import Case, no, yes
from hostile.place import Place, newest_run, rows_of

P = "run TINY method=psgld "
OPT = "method.optimizer."
TUNE = "tune TINY method=psgld dataset.valid=0.2 --trials 2 "


def finite(place: Place, out: str, err: str) -> None:
    for row in rows_of(newest_run(place)):
        assert math.isfinite(float(row["nll"])), row


def cold(place: Place, out: str, err: str) -> None:
    with (newest_run(place) / "metrics.csv").open() as stream:
        assert {row["predictor"] for row in csv.DictReader(stream)} >= {"current"}


CASES: list[Case] = [
    no("no adaptation", P + OPT + "v_adapt=0", "v_adapt"),
    no("adaptation of one step", P + OPT + "v_adapt=1", "v_adapt"),
    no("negative adaptation", P + OPT + "v_adapt=-7", "v_adapt"),
    no("half a step of adaptation", P + OPT + "v_adapt=2.5", "v_adapt=2.5"),
    no("adaptation by another word", P + OPT + "v_adapt=burnin", "v_adapt=burnin.*burn_in"),
    no("adaptation by a capital word", P + OPT + "v_adapt=Always", "v_adapt=Always.*always"),
    no("adaptation as a truth", P + OPT + "v_adapt=true", "v_adapt"),
    no("no word on adaptation", P + OPT + "v_adapt=null", "v_adapt"),
    no("a list of adaptations", P + OPT + "v_adapt=[2,3]", "v_adapt"),
    yes("V is never held", P + OPT + "v_adapt=1000 members.burn_in=1", "v_adapt", check=finite),
    no("Γ of a V that is held", P + OPT + "gamma=exact", "gamma=exact.*v_adapt=always"),
    no(
        "Γ by Hutchinson of a V that is held",
        P + OPT + "gamma=hutchinson " + OPT + "v_adapt=3",
        "gamma=hutchinson.*v_adapt",
    ),
    yes("Γ at temperature 0", P + OPT + "gamma=exact temperature=0", check=finite),
    yes("Γ of a V that moves", P + OPT + "gamma=exact " + OPT + "v_adapt=always", "V follows", check=finite),
    yes("Γ for two chains", P + OPT + "gamma=hutchinson chains=2 " + OPT + "v_adapt=always", "V follows", check=finite),
    no("Γ by a capital word", P + OPT + "gamma=Exact", "gamma=Exact.*exact"),
    no("Γ as a truth", P + OPT + "gamma=true", "gamma"),
    no("no word on Γ", P + OPT + "gamma=null", "gamma"),
    no("a V kept at nothing", P + OPT + "alpha=1", "alpha=1.*first_square"),
    yes("a V kept at its first square", P + OPT + "alpha=1 " + OPT + "v_start=first_square", check=finite),
    yes("a V without memory", P + OPT + "alpha=0", check=finite),
    no("a memory a little above 1", P + OPT + "alpha=1.0000001", "alpha must lie.*1.0000001"),
    no("a negative memory", P + OPT + "alpha=-0.01", "alpha must lie.*-0.01"),
    no("a memory as a fraction in words", P + OPT + "alpha=99/100", "alpha=99/100"),
    no("a negative λ", P + OPT + "lambda_=-1e-5", "lambda_.*-1e-05"),
    no("an infinite λ", P + OPT + "lambda_=inf", "lambda_"),
    no("a λ that is no number", P + OPT + "lambda_=nan", "lambda_"),
    no("a λ below single precision", P + OPT + "lambda_=1e-300", "lambda_"),
    no("a λ above single precision", P + OPT + "lambda_=1e300", "lambda_"),
    no("λ without its underscore", P + OPT + "lambda=1e-3", "lambda.*lambda_"),
    no("temperature by a small letter", P + "temperature=1/n", "temperature=1/n.*1/N"),
    no("temperature with spaces", P + "'temperature=\"1 / N\"'", "temperature=1 / N"),
    yes("temperature minus zero", P + "temperature=-0.0", check=finite),
    yes("a temperature hardly above zero", P + "temperature=1e-30", check=finite),
    no("an infinite temperature", P + "temperature=inf", "temperature=inf"),
    no("a list of temperatures", P + "temperature=[1]", "temperature"),
    no("temperature as a truth", P + "temperature=true", "temperature"),
    no("another fraction for the sampler alone", P + OPT + "temperature=1/M", "temperature=1/M|temperature"),
    no("V from another gradient", P + OPT + "v_gradient=prior", "v_gradient=prior.*likelihood"),
    no("V from another start", P + OPT + "v_start=one", "v_start=one.*first_square"),
    no("α of SGLD", "run TINY method=sgld " + OPT + "alpha=0.9", "alpha"),
    no("a temperature of SGD", "run TINY method=sgd +" + OPT + "temperature=1", "temperature"),
    no("noise on a number", "run TINY method=sgld method.noise_on.biases=2", "noise_on.biases=2"),
    no("noise on weights", "run TINY method=sgld +method.noise_on.weights=false", "weights"),
    no("steps far too large", "run TINY method=sgld method.optimizer.lr=1e30", "lr"),
    yes("steps that the prior alone makes diverge", P + OPT + "lr=1", "not below 2"),
    no(
        "a prior too narrow for the step",
        "run TINY method=sgld prior.variance=1e-30 method.optimizer.lr=1e-2",
        "prior|lr",
    ),
    no("a search beyond α = 1", TUNE + "'" + OPT + "alpha=interval(0.9,1.5)'", "alpha must lie"),
    no("a search from λ = 0", TUNE + "'" + OPT + "lambda_=interval(0,1)'", "lambda_"),
    no("a search through temperatures below 0", TUNE + "'temperature=choice(1,-1)'", "temperature=-1"),
    no("a search with Γ of a V that is held", TUNE + "'" + OPT + "gamma=choice(none,exact)'", "gamma=exact.*v_adapt"),
    no("a search through adaptations of one step", TUNE + "'" + OPT + "v_adapt=choice(always,1)'", "v_adapt"),
    no("a logarithmic search from 0", TUNE + "'" + OPT + "lr=tag(log,interval(0,1))'", "lr.*log|log.*lr"),
    no("a search from high to low", TUNE + "'" + OPT + "lr=interval(1,0.1)'", "lr"),
]
