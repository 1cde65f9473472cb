"""The columns of metrics.csv, the same for every method. A column that does not apply to a row is empty."""

from __future__ import annotations

from dataclasses import dataclass

KEYS = (
    "iteration",  # steps made
    "epoch",  # passes over the training split
    "grad_evals",  # backward passes over a minibatch, summed over the chains that the row speaks of
    "train_seconds",  # of training, evaluation not included
    "eval_seconds",  # of evaluation and recording
    "chain",  # 0…K−1, or all
    "split",  # valid, test, or the name of an out-of-distribution set
    "predictor",  # current: the last iterate; posterior: the mean over members or draws
    "members",  # networks averaged
)
MEASURES = (
    "error",  # fraction
    "nll",  # nats per datum
    "brier",  # 0…2
    "ece",  # fraction
    "entropy",  # nats
    "mutual_information",  # nats
    "auroc",  # of the entropy as a score for "out of distribution"
    "rmse",  # in the target's units
    "train_loss",  # mean loss as descended since the last evaluation: NLL + β KL/N, nats per datum, no Gaussian prior
    "kl",  # of the variational posterior from the prior, summed over weights, nats
    "lr",  # step size of the last step
    "sparsity",  # fraction of weights dropped, biases not counted
)
COLUMNS = KEYS + MEASURES


@dataclass(frozen=True)
class Measure:
    name: str
