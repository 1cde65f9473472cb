"""Metrics against numbers worked out by hand and against scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from bnnbench.tasks import formulas

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], dtype=torch.float64)
Y = torch.tensor([0, 1, 1, 2])


@pytest.fixture
def random():
    generator = torch.Generator().manual_seed(5)
    p = torch.randn(2, 3, 200, 4, generator=generator).mul(2).softmax(-1)
    return p, torch.randint(4, (200,), generator=generator)


def near(value, expected):
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_by_hand():
    near(formulas.error(P, Y), 2 / 4)
    near(formulas.nll(P, Y), -(math.log(0.7) + math.log(0.3) + math.log(0.5) + math.log(0.2)) / 4)
    near(formulas.brier(P, Y), (0.14 + 0.86 + 0.38 + 0.96) / 4)
    near(formulas.entropy(P[:1]), -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1)))


@pytest.mark.parametrize("metric", [formulas.error, formulas.nll, formulas.brier, formulas.ece])
def test_leading_axes_are_independent(metric, random):
    p, y = random
    values = metric(p, y)
    assert values.shape == (2, 3)
    assert values.dtype == torch.float64
    assert values.unique().numel() > 3
    for i in range(2):
        for j in range(3):
            near(metric(p[i, j], y), values[i, j].item())


def test_scikit_learn_agrees(random):
    p, y = random[0][0, 0].double(), random[1]
    p = p / p.sum(-1, keepdim=True)
    near(formulas.nll(p, y), log_loss(y, p))
    near(formulas.brier(p, y), sum(brier_score_loss(y == c, p[:, c]) for c in range(4)))  # binary: every version has it


def test_certain_predictions():
    p = torch.eye(3)
    right, wrong = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    for metric in (formulas.error, formulas.nll, formulas.brier, formulas.ece):
        near(metric(p, right), 0.0)
    near(formulas.error(p, wrong), 1.0)
    near(formulas.brier(p, wrong), 2.0)
    near(formulas.ece(p, wrong), 1.0)
    near(formulas.nll(p, wrong), -math.log(formulas.TINY))
    near(formulas.entropy(p), 0.0)


def test_small_probabilities_of_single_precision_are_not_clamped():
    p = torch.tensor([[1e-40, 1.0]])
    assert formulas.nll(p, torch.tensor([0])).item() == pytest.approx(-math.log(1e-40), rel=1e-4)


def binary(confidence):
    c = torch.tensor(confidence, dtype=torch.float64)
    return torch.stack([c, 1 - c], -1)


def test_ece_by_hand():
    # Ten bins. (0.6, 0.7]: two of confidence .65, one right, |1 − 1.3|. (0.9, 1]: .95 and 1, both right, |2 − 1.95|.
    p = binary([0.65, 0.65, 0.95, 1.0])
    near(formulas.ece(p, torch.tensor([0, 1, 0, 0]), bins=10), (0.3 + 0.05) / 4)


def test_ece_within_a_bin_gaps_cancel_and_between_bins_they_do_not():
    y = torch.tensor([0, 1])  # the first right, the second wrong: gaps .4 and −.6, or .35 and −.65
    near(formulas.ece(binary([0.6, 0.6]), y, bins=10), 0.2 / 2)
    near(formulas.ece(binary([0.6, 0.65]), y, bins=10), (0.4 + 0.65) / 2)


def test_ece_edges_belong_to_the_bin_below():
    y = torch.tensor([0, 1])
    near(formulas.ece(binary([0.75, 0.7]), y, bins=4), (1 - 1.45) / -2)  # both in (0.5, 0.75]: gaps .25 − .7
    near(formulas.ece(binary([0.75, 0.76]), y, bins=4), (0.25 + 0.76) / 2)


def test_ece_one_is_in_the_last_bin_and_zero_in_the_first():
    y = torch.tensor([0, 1])
    near(formulas.ece(binary([1.0, 0.9]), y, bins=5), abs(0.0 - 0.9) / 2)
    near(formulas.ece(torch.zeros(2, 2), y, bins=5), 1 / 2)  # no probabilities, but no datum may be lost: one "right"


def test_ece_of_one_bin_is_the_gap_of_the_means():
    near(formulas.ece(P, Y, bins=1), abs(0.5 - (0.7 + 0.6 + 0.5 + 0.4) / 4))


def test_ece_has_fifteen_bins():
    y = torch.tensor([0, 1])
    near(formulas.ece(binary([0.61, 0.66]), y), (1 - 1.27) / -2)  # (9/15, 10/15] holds both; with 16 bins it would not


def test_entropies():
    uniform = torch.full((2, 5, 4), 0.25)
    assert torch.equal(formulas.entropy(uniform), torch.full((2,), math.log(4), dtype=torch.float64))
    per_datum = formulas.entropy_per_datum(P)
    assert per_datum.shape == (4,)
    near(per_datum.mean(), formulas.entropy(P).item())


def test_mutual_information():
    members = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])  # [members, data, classes]
    member_entropy = formulas.entropy_per_datum(members).mean(0)
    per_datum = formulas.mutual_information_per_datum(members.mean(0), member_entropy)
    torch.testing.assert_close(per_datum, torch.tensor([math.log(2), 0.0], dtype=torch.float64))
    near(formulas.mutual_information(members.mean(0), member_entropy), math.log(2) / 2)


def test_auroc_by_hand():
    near(formulas.auroc(torch.tensor([0.1, 0.4]), torch.tensor([0.35, 0.8])), 3 / 4)
    near(formulas.auroc(torch.tensor([1.0, 2.0]), torch.tensor([2.0])), (1 + 0.5) / 2)
    near(formulas.auroc(torch.zeros(3), torch.zeros(7)), 0.5)
    near(formulas.auroc(torch.tensor([-math.inf, 0.0]), torch.tensor([math.inf])), 1.0)
    near(formulas.auroc(torch.tensor([5, 6]), torch.tensor([1])), 0.0)


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_auroc_agrees_with_scikit_learn(levels, scale):
    generator = torch.Generator().manual_seed(levels)
    negative = torch.randint(-levels, levels, (101,), generator=generator) * scale
    positive = torch.randint(-levels, levels + levels // 2, (57,), generator=generator) * scale
    truth = torch.cat([torch.zeros(101), torch.ones(57)])
    near(formulas.auroc(negative, positive), roc_auc_score(truth, torch.cat([negative, positive])))


def test_auroc_leading_axes():
    generator = torch.Generator().manual_seed(0)
    negative, positive = torch.randn(3, 9, generator=generator), torch.randn(3, 4, generator=generator)
    values = formulas.auroc(negative, positive)
    assert values.shape == (3,)
    for row in range(3):
        near(formulas.auroc(negative[row], positive[row]), values[row].item())


def test_regression():
    near(formulas.rmse(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 6.0])), math.sqrt(12.5))
    near(formulas.rmse(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 6.0]), std=10.0), 10 * math.sqrt(12.5))
    mean, variance, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [4.0]]), torch.tensor([3.0])
    density = formulas.gaussian_log_density(mean, variance, y)
    assert density.shape == (2, 1)
    near(density[0, 0], -0.5 * (math.log(2 * math.pi) + 9))
    near(density[1, 0], -0.5 * (math.log(2 * math.pi * 4) + 1))


def test_nan_in_nan_out():
    p, y = torch.full((3, 4), math.nan), torch.tensor([0, 1, 2])
    for value in (
        formulas.nll(p, y),
        formulas.brier(p, y),
        formulas.ece(p, y),
        formulas.entropy(p),
        formulas.auroc(torch.tensor([0.0, math.nan]), torch.tensor([1.0])),
        formulas.auroc(torch.tensor([0.0]), torch.tensor([math.nan])),
    ):
        assert value.isnan()
