import numpy as np
import pytest
from check_layer import check_empty, check_keras_mask, check_layer

from lmn_tf.layers import SelfAttentiveEncoder

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


HISTORY = example(4, 6, 4)
SMALL = {"max_positions": 4}


@pytest.mark.slow
def test_is_a_good_layer():
    # The order of events matters, so the padding is checked below.
    check_layer(SelfAttentiveEncoder, SMALL, {"history": HISTORY})
    layer, inputs = SelfAttentiveEncoder(**SMALL), {"history": HISTORY}
    check_keras_mask(layer, inputs, MASK, layer(HISTORY, mask=MASK).numpy())
    check_empty(layer, inputs, MASK, zero_when_empty=True)


def normalized(x):
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-8)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_equals_whole_blocks_on_the_newest_events(run_mode, pre_norm):
    layer = SelfAttentiveEncoder(num_blocks=2, num_heads=2, pre_norm=pre_norm, **SMALL)
    layer.build((None, None, 4))
    output = run_mode(lambda h: layer(h, mask=MASK))(HISTORY)
    positions = layer.positions.numpy()
    assert (output.numpy()[0] == 0).all()
    for row in (1, 2, 3):
        newest = HISTORY[row][MASK[row]][-4:]
        x = 2.0 * newest + positions[: len(newest)][::-1]
        for block in layer.blocks:
            x = block(x[None])[0].numpy()
        np.testing.assert_allclose(output[row], normalized(x[-1]), rtol=1e-3, atol=1e-4)


def test_padding_changes_nothing(run_mode):
    layer = SelfAttentiveEncoder(**SMALL)
    layer.build((None, None, 4))
    want = layer(HISTORY, mask=MASK)
    left, shifted = MASK[:, ::-1], np.full_like(HISTORY, np.nan)
    shifted[left] = HISTORY[MASK]
    got = run_mode(lambda h: layer(h, mask=left))(shifted)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    wide = np.concatenate([example(4, 3, 4), HISTORY, example(4, 2, 4)], axis=1)
    got = layer(wide, mask=np.pad(MASK, ((0, 0), (3, 2))))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_older_events_than_the_newest_are_not_read():
    layer = SelfAttentiveEncoder(**SMALL)
    longer = np.concatenate([example(4, 5, 4), HISTORY], axis=1)
    np.testing.assert_array_equal(layer(longer), layer(HISTORY))
    changed = HISTORY.copy()
    changed[:, 2] += 1.0
    assert np.abs(layer(changed) - layer(HISTORY)).max() > 1e-3


def test_order_matters():
    layer = SelfAttentiveEncoder(**SMALL)
    swapped = HISTORY[:, [0, 1, 2, 4, 3, 5]]
    assert np.abs(layer(swapped) - layer(HISTORY)).max() > 1e-4


def test_dropout_is_of_the_embedded_events_as_well():
    layer = SelfAttentiveEncoder(dropout=0.5, **SMALL)
    layer.build((None, None, 4))
    for block in layer.blocks:
        block.drop.rate = 0.0
    np.testing.assert_array_equal(layer(HISTORY, training=False), layer(HISTORY))
    assert np.abs(layer(HISTORY, training=True) - layer(HISTORY)).max() > 0.1


def test_bad_arguments():
    with pytest.raises(ValueError, match="`max_positions` must be a positive integer"):
        SelfAttentiveEncoder(0)
    with pytest.raises(ValueError, match="`num_blocks` must be a positive integer"):
        SelfAttentiveEncoder(num_blocks=0)
    with pytest.raises(ValueError, match="`dropout` must be at least 0 and below 1"):
        SelfAttentiveEncoder(dropout=2.0)
