"""Random words and normals of a counter: known answers, loops against their definition, and the law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bnnbench.kernels import loops, plain

KNOWN = [  # of Random123, version 1.14: counter, key, words
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]
SIZES = (0, 1, 2, 3, 7, 8, 1000, 4097)


@pytest.fixture
def fill():
    module = loops("normals")
    assert module is not None
    return module


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter: tuple[int, int], key: tuple[int, int], words: tuple[int, int]) -> None:
    found = plain.threefry(key, np.array([counter[0]], np.uint32), counter[1])
    assert tuple(int(word[0]) for word in found) == words


@pytest.mark.parametrize("size", SIZES)
def test_loops_are_their_definition(size: int, fill) -> None:
    key, step = (0x9E3779B9, 0x7F4A7C15), 2**32 - 1
    given = (*map(np.uint32, key), np.uint32(step))
    words, normals = np.empty(size, np.uint32), np.empty(size, np.float32)
    fill.fill_words(words, *given)
    fill.fill_normals(normals, *given)
    assert np.array_equal(words, plain.words(size, key, step))
    # An angle in single precision is off by 2⁻²⁴ of a quarter turn, at a radius of at most 6.8; a radius by 4 units.
    np.testing.assert_allclose(normals, plain.normals(size, key, step), rtol=1e-6, atol=4e-6)


def test_a_number_does_not_depend_on_how_many_are_drawn_beyond_its_pair() -> None:
    assert np.array_equal(plain.words(10, (1, 2), 3)[:5], plain.words(9, (1, 2), 3)[:5])


@pytest.mark.parametrize("word", [0, 1, 255, 256, 2**24, 2**31, 2**32 - 1])
def test_every_word_gives_a_finite_radius(word: int) -> None:
    u = (word + 0.5) / 2.0**32
    assert 0 < u < 1 and math.sqrt(-2 * math.log(u)) < 6.8


def test_the_law(fill) -> None:
    """Moments, tails, correlations of neighbours, within pairs, between keys and steps: 4.5 standard errors."""
    n = 1_000_000
    drawn = []
    for key, step in (((1, 2), 0), ((1, 3), 0), ((1, 2), 1)):
        x = np.empty(n, np.float32)
        fill.fill_normals(x, *map(np.uint32, key), np.uint32(step))
        drawn.append(x.astype(float))
    for x in drawn:
        for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
            assert abs((x**power).mean() - mean) < 4.5 * math.sqrt(variance / n), power
        for beyond in (3, 4):
            p = 2 * stats.norm.sf(beyond)
            assert abs((np.abs(x) > beyond).mean() - p) < 4.5 * math.sqrt(p / n), beyond
        assert stats.kstest(x, "norm").pvalue > 1e-5
    x, other, later = drawn
    pairs = ((x[:-1], x[1:]), (x[: n // 2], x[n // 2 :]), (x, other), (x, later))
    for a, b in pairs:
        for one, two in ((a, b), (a**2, b**2)):
            assert abs(np.corrcoef(one, two)[0, 1]) < 4.5 / math.sqrt(len(a))


@pytest.mark.slow
def test_the_law_of_many(fill) -> None:
    """3·10⁸ draws: moments 1 to 8, and counts beyond 3 to 5.5 standard deviations."""
    n, blocks = 1_000_000, 300
    powers, beyond = np.zeros(9), dict.fromkeys((3.0, 4.0, 4.5, 5.0, 5.5), 0)
    x = np.empty(n, np.float32)
    for step in range(blocks):
        fill.fill_normals(x, np.uint32(5), np.uint32(6), np.uint32(step))
        y = x.astype(float)
        for power in range(1, 9):
            powers[power] += (y**power).sum()
        for limit in beyond:
            beyond[limit] += int((np.abs(y) > limit).sum())
    total = n * blocks
    moment = [1.0, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395, 0, 135135, 0, 2027025]
    for power in range(1, 9):
        error = math.sqrt((moment[2 * power] - moment[power] ** 2) / total)
        assert abs(powers[power] / total - moment[power]) < 4.5 * error, power
    for limit, count in beyond.items():
        expected = 2 * stats.norm.sf(limit) * total
        assert abs(count - expected) < 4.5 * math.sqrt(expected), limit
