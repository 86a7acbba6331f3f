import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import SequencePooling

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example():
    return np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_is_a_good_layer(pooling):
    check_layer(
        SequencePooling, {"pooling": pooling}, {"inputs": example()}, MASK, zero_when_empty=True
    )


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_pools_valid_positions(run_mode, pooling):
    layer = SequencePooling(pooling)
    output = run_mode(lambda x: layer(x, mask=MASK))(example())
    reduce = getattr(np, pooling)
    want = [np.zeros(3), *(reduce(example()[i, : MASK[i].sum()], axis=0) for i in (1, 2, 3))]
    np.testing.assert_allclose(output, want, rtol=1e-5, atol=1e-6)


def test_order_does_not_matter():
    order = np.random.default_rng(1).permutation(6)
    shuffled = SequencePooling()(example()[:, order], mask=MASK[:, order])
    np.testing.assert_allclose(shuffled, SequencePooling()(example(), mask=MASK), rtol=1e-5)


def test_mean_of_one_item_is_that_item():
    np.testing.assert_allclose(SequencePooling()(example(), mask=MASK)[1], example()[1, 0])


def test_bad_pooling():
    with pytest.raises(ValueError, match="`pooling` must be one of 'mean', 'sum'. Received"):
        SequencePooling("max")
