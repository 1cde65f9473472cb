"""Bernoulli and Gaussian dropout: moments, the switch, and that all noise of one α agrees."""

import pytest
import torch
from torch import nn

from bnnbench.layers.dropout import Dropout
from bnnbench.layers.gaussian_dropout import GaussianDropout
from bnnbench.layers.vd import VariationalDropout

P = 0.8
ALPHA = (1 - P) / P
NOISES = {
    "binary": lambda layer: Dropout(layer, P),
    "gaussian_A": lambda layer: GaussianDropout(layer, P, "A"),
    "gaussian_B": lambda layer: GaussianDropout(layer, P, "B"),
    "vd_A": lambda layer: VariationalDropout(layer, "A", "layer", ALPHA),
    "vd_A_unit": lambda layer: VariationalDropout(layer, "A", "unit", ALPHA),
    "vd_B": lambda layer: VariationalDropout(layer, "B", "layer", ALPHA),
    "vd_B_unit": lambda layer: VariationalDropout(layer, "B", "unit", ALPHA),
    "vd_B_weight": lambda layer: VariationalDropout(layer, "B", "weight", ALPHA),
}


@pytest.mark.parametrize("name", NOISES)
def test_all_noise_of_one_alpha_has_the_same_mean_and_variance(name, plain, moments_agree):
    layer, x = plain
    on_inputs = name in ("binary", "gaussian_A", "vd_A", "vd_A_unit")
    if isinstance(layer, nn.Conv2d) and on_inputs and (layer.padding_mode != "zeros" or name.startswith("vd")):
        pytest.skip("several taps of a filter share their noise here: another variance; for VD see the next test")
    mean = layer(x)
    bare = {"bias": torch.zeros_like(layer.bias)} if layer.bias is not None else {}
    state = {"weight": layer.weight.square(), **bare}
    variance = ALPHA * torch.func.functional_call(layer, state, (x.square(),))
    torch.manual_seed(2)
    noisy, count = NOISES[name](layer), 20_000
    draws = noisy(x.repeat(count, *[1] * (x.dim() - 1))).view(count, *mean.shape)
    moments_agree(draws, mean, variance)


def test_vd_a_on_images_shares_the_noise_of_a_channel(moments_agree):
    torch.manual_seed(1)
    layer, x = nn.Conv2d(3, 2, 3, bias=False).double(), torch.randn(1, 3, 4, 4, dtype=torch.float64)
    by_channel = torch.stack([layer(x * (torch.arange(3) == c).view(3, 1, 1)) for c in range(3)])  # [C, 1, out, H, W]
    noisy = VariationalDropout(layer, "A", "unit", 0.5)
    with torch.no_grad():
        noisy.log_alpha.copy_(torch.tensor([0.2, 0.5, 0.9]).log())
        draws = noisy(x.expand(20_000, -1, -1, -1)).unsqueeze(1)
        weights = noisy.log_alpha.exp().view(3, 1, 1, 1, 1)
        moments_agree(draws, by_channel.sum(0), (weights * by_channel.square()).sum(0))


@pytest.mark.parametrize("name", ["gaussian_A", "gaussian_B", "vd_A", "vd_B"])
def test_type_a_correlates_the_outputs_of_a_datum_and_type_b_does_not(name):
    torch.manual_seed(1)
    layer = nn.Linear(1, 2, bias=False)
    noisy, count = NOISES[name](layer), 20_000
    first, second = (noisy(torch.ones(count, 1)) / layer.weight.T).T
    correlation = torch.corrcoef(torch.stack([first, second]))[0, 1].item()
    assert correlation == pytest.approx(1.0 if name.endswith("A") else 0.0, abs=5 / count**0.5)


def test_dropout_by_hand():
    layer = Dropout(nn.Linear(4, 4, bias=False), 0.25)
    nn.init.eye_(layer.weight)
    y = layer(torch.ones(5000, 4))
    assert set(y.unique().tolist()) == {0.0, 4.0}
    assert (y > 0).float().mean() == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 20_000) ** 0.5)


@pytest.mark.parametrize("name", NOISES)
def test_retain_everything_is_the_plain_layer(name, plain):
    layer, x = plain
    if name.startswith("vd"):
        noisy = NOISES[name](layer)
        noisy.log_alpha.data.fill_(-60)
    else:
        noisy = NOISES[name](layer)
        noisy.keep = 1.0
    torch.testing.assert_close(noisy(x), layer(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("keep", [0, -0.1, 1.1, float("nan")])
@pytest.mark.parametrize("layer", [Dropout, GaussianDropout])
def test_keep_out_of_range(layer, keep):
    with pytest.raises(ValueError, match=r"RETAIN.*\(0, 1\], got"):
        layer(nn.Linear(2, 2), keep)


def test_other_refusals():
    with pytest.raises(ValueError, match="kind must be one of A, B, got 'C'"):
        GaussianDropout(nn.Linear(2, 2), kind="C")
    with pytest.raises(ValueError, match=r"nn\.Linear or nn\.Conv2d, got ReLU"):
        Dropout(nn.ReLU())
    with pytest.raises(ValueError, match="parametrised"):
        Dropout(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="sample must be"):
        Dropout(nn.Linear(2, 2), sample="yes")
