import numpy as np
import pytest

from lmn_tf.data.learning.counts import NumberSummary, is_constant


def summed(numbers, chunks, **options):
    summary = NumberSummary(**options)
    for chunk in np.array_split(numbers, chunks):
        summary.add(chunk)
    return summary


def test_chunks_add_up():
    numbers = np.random.default_rng(1).normal(1e6, 2.0, 1000)
    figures = summed(numbers, 17).figures(quantiles=4)
    assert figures["count"] == 1000
    assert figures["mean"] == pytest.approx(numbers.mean(), rel=1e-12)
    assert figures["std"] == pytest.approx(numbers.std(), rel=1e-9)
    assert (figures["min"], figures["max"]) == (numbers.min(), numbers.max())
    assert figures["quantiles"] == np.quantile(numbers, [0.25, 0.5, 0.75]).tolist()
    assert summed(numbers, 3).figures()["quantiles"] == []


def test_the_sample_depends_on_data_and_seed_alone():
    numbers = np.random.default_rng(1).normal(size=20_000)
    figures = [
        summed(numbers, chunks, seed=seed, sample_size=500).figures(10)["quantiles"]
        for chunks, seed in ((1, 1), (40, 1), (40, 2))
    ]
    assert figures[0] == figures[1] != figures[2]


def test_sampled_quantiles_are_close():
    numbers = np.random.default_rng(1).random(200_000)
    quantiles = summed(numbers, 50, sample_size=4096).figures(10)["quantiles"]
    np.testing.assert_allclose(quantiles, np.arange(1, 10) / 10, atol=4 * 0.5 / 64)


def test_empty_chunks_change_nothing():
    summary = summed(np.array([1.0, 3.0]), 1)
    summary.add(np.zeros(0))
    assert summary.figures()["mean"] == 2.0


def test_no_constant_has_a_deviation():
    for cents in range(1, 3_000):
        summary = summed(np.full(500, cents / 100), 3)
        assert (summary.figures()["std"], summary.figures()["mean"]) == (0.0, cents / 100)


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e15])
def test_a_spread_of_rounding_is_none(size):
    numbers = np.full(1_000, size)
    numbers[::3] = np.nextafter(size, np.inf)
    assert summed(numbers, 9).figures()["std"] == 0.0
    assert is_constant(numbers.min(), numbers.max())
    numbers[::3] = size * (1 + 1e-12)
    assert summed(numbers, 9).figures()["std"] == pytest.approx(numbers.std(), rel=1e-2)
    assert not is_constant(numbers.min(), numbers.max())
