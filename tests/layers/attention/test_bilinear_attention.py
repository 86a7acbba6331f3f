import numpy as np
from check_layer import check_layer

from lmn_tf.layers import BilinearAttention
from lmn_tf.ops import Windows

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "target": example(4, 2)}


def test_is_a_good_layer():
    check_layer(BilinearAttention, {}, INPUTS, MASK, zero_when_empty=True)


def test_equals_the_literal_form(run_mode):
    layer, (history, target) = BilinearAttention(), INPUTS.values()
    output = run_mode(lambda h, t: layer(h, t, mask=MASK))(history, target)
    scores = np.einsum("bld,de,be->bl", history, layer.kernel.numpy(), target)
    weights = np.where(MASK, np.exp(scores), 0)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-30)
    np.testing.assert_allclose(
        output, np.einsum("bl,bld->bd", weights, history), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        layer.attention_weights(history, target, mask=MASK), weights, rtol=1e-4, atol=1e-6
    )


def test_weights_over_windows_are_those_of_padded_histories():
    # Row 1 sees events that row 0 sees, too; row 2 sees none.
    layer, windows = BilinearAttention(), Windows([0, 1, 6, 6], [4, 5, 0, 1], 7)
    events, target = example(7, 3), INPUTS["target"]
    padded = windows.put(windows.pairs(events))
    layer.build(padded.shape, target.shape)
    got = layer.attention_weights(events, target, windows=windows)
    want = layer.attention_weights(padded, target, mask=windows.mask)
    np.testing.assert_allclose(windows.put(got), want, rtol=1e-5, atol=1e-7)
