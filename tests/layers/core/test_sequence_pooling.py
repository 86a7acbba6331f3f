import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import SequencePooling

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example():
    return np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")


@pytest.mark.parametrize("pooling", ["mean", "sum", "sqrtn"])
def test_is_a_good_layer(pooling):
    check_layer(
        SequencePooling, {"pooling": pooling}, {"inputs": example()}, MASK, zero_when_empty=True
    )


@pytest.mark.parametrize("pooling", ["mean", "sum", "sqrtn"])
def test_pools_valid_positions(run_mode, pooling):
    layer = SequencePooling(pooling)
    output = run_mode(lambda x: layer(x, mask=MASK))(example())
    counts = MASK.sum(axis=1)
    sums = [example()[i, : counts[i]].sum(axis=0) for i in range(4)]
    power = {"mean": 1, "sum": 0, "sqrtn": 0.5}[pooling]
    want = [total / max(count, 1) ** power for total, count in zip(sums, counts, strict=True)]
    np.testing.assert_allclose(output, want, rtol=1e-5, atol=1e-6)


def test_order_does_not_matter():
    order = np.random.default_rng(1).permutation(6)
    shuffled = SequencePooling()(example()[:, order], mask=MASK[:, order])
    np.testing.assert_allclose(shuffled, SequencePooling()(example(), mask=MASK), rtol=1e-5)


def test_mean_of_one_item_is_that_item():
    np.testing.assert_allclose(SequencePooling()(example(), mask=MASK)[1], example()[1, 0])


def test_bad_pooling():
    with pytest.raises(ValueError, match="one of 'mean', 'sum', 'sqrtn'. Received: pooling="):
        SequencePooling("max")
