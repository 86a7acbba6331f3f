import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import PositionEmbedding
from lmn_tf.ops import Windows

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])
HISTORY = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")


def test_is_a_good_layer():
    # Without a mask: the order matters, also that of a turned history.
    check_layer(PositionEmbedding, {"max_length": 5}, {"inputs": HISTORY})


def test_padding_keeps_its_content_and_the_mask_passes():
    layer = PositionEmbedding(5)
    dirty = np.where(MASK[..., None], HISTORY, np.float32(np.nan))
    output = layer(dirty, mask=MASK).numpy()
    assert np.isfinite(output[MASK]).all() and np.isnan(output[~MASK]).all()
    masked = keras.layers.Masking(-9.0)(np.where(MASK[..., None], HISTORY, np.float32(-9.0)))
    output = layer(masked)
    np.testing.assert_array_equal(output._keras_mask, MASK)
    np.testing.assert_allclose(
        output.numpy()[MASK], layer(HISTORY, mask=MASK).numpy()[MASK], rtol=1e-6
    )


def test_counts_newer_behaviors_on_whichever_side_padding_stands(run_mode):
    layer = PositionEmbedding(3)
    layer.build((None, None, 3))
    layer.embeddings.assign([[10.0] * 3, [20.0] * 3, [30.0] * 3])
    masks = {
        "right": [True, True, True, True, False],
        "left": [False, True, True, True, True],
        "holes": [True, False, True, True, True],
    }
    wanted = {
        "right": [30, 30, 20, 10, 0],
        "left": [0, 30, 30, 20, 10],
        "holes": [30, 0, 30, 20, 10],
    }
    call = run_mode(lambda x, m: layer(x, mask=m))
    for side, mask in masks.items():
        output = call(np.zeros((1, 5, 3), "float32"), np.array([mask]))
        np.testing.assert_array_equal(output[0, :, 0], wanted[side])
    unmasked = run_mode(layer)(np.zeros((1, 5, 3), "float32"))
    np.testing.assert_array_equal(unmasked[0, :, 0], [30, 30, 30, 20, 10])


def test_gradients_add_up_at_each_position():
    layer = PositionEmbedding(3)
    layer.build((None, None, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(HISTORY, mask=MASK) * HISTORY)
    gradient = tape.gradient(loss, layer.embeddings.value)
    want = np.zeros((3, 3))
    for row, length in zip(HISTORY, MASK.sum(1), strict=True):
        for step in range(length):
            want[min(length - 1 - step, 2)] += row[step]
    np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("form", ["mask", "windows"])
def test_gradients_are_summed_in_float32(policy, form):
    layer = PositionEmbedding(3, dtype=policy)
    layer.build((None, None, 2))
    rows = 70_001  # half precision would stop earlier
    ones = np.ones(rows, "int32")
    history, arguments = np.zeros((rows, 1, 2), "float16"), {"mask": ones[:, None] > 0}
    if form == "windows":
        history, arguments = history[:, 0], {"windows": Windows(np.arange(rows), ones, rows)}
    with tf.GradientTape() as tape:
        output = layer(history, **arguments)
    assert output.dtype == layer.compute_dtype
    gradient = tape.gradient(output, layer.embeddings.value)
    np.testing.assert_array_equal(gradient, [[rows] * 2, [0] * 2, [0] * 2])


@pytest.mark.parametrize("width", [1, 3, 4])
def test_waves_tell_all_positions_apart(width):
    layer = PositionEmbedding(50, encoding="sinusoidal")
    waves = layer(np.zeros((1, 50, width), "float32"))[0].numpy()[::-1]
    assert layer.weights == []
    assert np.abs(waves).max() <= 1.0
    np.testing.assert_allclose(waves[:, 0], np.sin(np.arange(50)), atol=1e-6)
    if width > 1:
        np.testing.assert_allclose(waves[:, (width + 1) // 2], np.cos(np.arange(50)), atol=1e-6)
    assert len(np.unique(waves.round(5), axis=0)) == 50


def test_bad_arguments():
    with pytest.raises(ValueError, match="`max_length` must be a positive integer.*max_length=0"):
        PositionEmbedding(0)
    with pytest.raises(ValueError, match="`encoding` must be one of 'learned', 'sinusoidal'"):
        PositionEmbedding(3, encoding="rotary")
