"""Integer features keep what float32 would cut off before they are centred."""

from __future__ import annotations

import torch

from bnnbench.data.loading.preprocess import Preprocess


def test_integers_that_float32_cannot_tell_apart_are_centred_first() -> None:
    seconds = torch.arange(1_700_000_000, 1_700_003_600)[:, None]  # float32 has a spacing of 128 there
    x = seconds.double()
    right = ((x - x.mean()) / x.std(correction=0)).float()
    found = Preprocess.fit(seconds, 1.0, "standardise")(seconds)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, right, rtol=0, atol=1e-6)


def test_pixels_are_as_before() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)[:, None]
    assert torch.equal(Preprocess.fit(pixels, 126.0, "none")(pixels), pixels.float() / 126)
