import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import SequencePooling
from lmn_tf.ops import ValidPositions, Windows
from lmn_tf.ops.sequence.shared_window import SharedWindow

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


@pytest.mark.parametrize("form", ["none", "mask", "list", "windows", "shared"])
def test_means_of_long_histories_do_not_overflow(run_mode, form):
    events = np.full((1000, 2), 100.0, "float16")  # the sum is beyond float16
    padded, arguments = events, {}
    if form == "windows":
        arguments = {"windows": Windows([0], [1000], 1000)}
    elif form == "shared":
        arguments = {"windows": SharedWindow(tf.constant(1000), tf.constant(1))}
    elif form == "list":
        arguments = {"windows": ValidPositions(np.ones((1, 1000), bool), events[None])}
    else:
        padded = events[None]
        arguments = {"mask": np.ones((1, 1000), bool)} if form == "mask" else {}
    for pooling, want in (("mean", 100.0), ("sqrtn", 1e5 / 1e3**0.5)):
        layer = SequencePooling(pooling, dtype="mixed_float16")
        output = run_mode(lambda x, layer=layer: layer(x, **arguments))(padded)
        assert output.dtype == "float16"
        np.testing.assert_allclose(output, [[want, want]], rtol=1e-3)


def test_order_does_not_matter():
    order = np.random.default_rng(1).permutation(6)
    shuffled = SequencePooling()(example()[:, order], mask=MASK[:, order])
    np.testing.assert_allclose(shuffled, SequencePooling()(example(), mask=MASK), rtol=1e-5)


def test_mean_of_one_item_is_that_item():
    np.testing.assert_allclose(SequencePooling()(example(), mask=MASK)[1], example()[1, 0])


def test_bad_pooling():
    with pytest.raises(ValueError, match="one of 'mean', 'sum', 'sqrtn'. Received: pooling="):
        SequencePooling("max")
