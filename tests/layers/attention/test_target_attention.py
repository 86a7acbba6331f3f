import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from finite_differences import check_gradient

from lmn_tf.layers import Dice, TargetAttention

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "target": example(4, 3)}


@pytest.mark.parametrize(
    ("activation", "weight_normalization"),
    [("sigmoid", "softmax"), ("dice", "raw"), ("prelu", "softmax")],
)
def test_is_a_good_layer(activation, weight_normalization):
    arguments = {
        "hidden_units": (5, 4),
        "activation": activation,
        "weight_normalization": weight_normalization,
    }
    check_layer(TargetAttention, arguments, INPUTS, MASK, zero_when_empty=True)


def literal(layer, history, target, mask, activation):
    """The published form: one dense layer on `[v; e; v - e; v * e]`."""
    kernel, bias, *others = (weight.numpy() for weight in layer.weights)
    v = np.broadcast_to(target[:, None], history.shape)
    x = np.concatenate([v, history, v - history, v * history], -1) @ kernel + bias
    for kernel, bias in zip(others[::2], others[1::2], strict=True):
        x = activation(x) @ kernel + bias
    return np.where(mask, x[..., 0], 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_equals_the_literal_form(run_mode):
    raw = TargetAttention(weight_normalization="raw")
    history, target = INPUTS.values()
    output = run_mode(lambda h, t: raw(h, t, mask=MASK))(history, target)
    scores = literal(raw, history, target, MASK, sigmoid)
    np.testing.assert_allclose(
        output, np.einsum("bl,bld->bd", scores, history), rtol=1e-4, atol=1e-5
    )

    soft = TargetAttention()
    soft(history, target)
    soft.set_weights(raw.get_weights())
    weights = np.where(MASK, np.exp(scores), 0)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-30)
    output = run_mode(lambda h, t: soft(h, t, mask=MASK))(history, target)
    np.testing.assert_allclose(
        output, np.einsum("bl,bld->bd", weights, history), rtol=1e-4, atol=1e-5
    )


def test_weights_sum_to_one_where_there_is_a_history():
    layer = TargetAttention()
    layer.build((None, 6, 3), (None, 3))
    weights = layer.attention_weights(*INPUTS.values(), mask=MASK).numpy()
    np.testing.assert_allclose(weights.sum(1), [0, 1, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(weights[~MASK], 0)


def test_order_does_not_matter_and_equal_items_weigh_the_same():
    history, target = INPUTS.values()
    layer = TargetAttention()
    order = np.random.default_rng(1).permutation(6)
    shuffled = layer(history[:, order], target, mask=MASK[:, order])
    np.testing.assert_allclose(shuffled, layer(history, target, mask=MASK), rtol=1e-4, atol=1e-6)
    same = np.repeat(history[:, :1], 6, axis=1)
    weights = layer.attention_weights(same, target, mask=MASK).numpy()
    np.testing.assert_allclose(weights[3], 1 / 6, rtol=1e-5)


def test_dice_statistics_skip_padding(run_mode):
    history, target = INPUTS.values()
    outputs = []
    for filling in (0.0, 50.0):
        keras.utils.set_random_seed(1)
        layer = TargetAttention((5,), activation="dice")
        dirty = np.where(MASK[..., None], history, np.float32(filling))
        outputs.append(run_mode(lambda h, n=layer: n(h, target, mask=MASK, training=True))(dirty))
        outputs.append([a for a in layer.activations if isinstance(a, Dice)][0].get_weights()[1])
    np.testing.assert_allclose(outputs[0], outputs[2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs[1], outputs[3], rtol=1e-5, atol=1e-6)


def test_gradient_agrees_with_finite_differences():
    layer = TargetAttention((4,))
    history, target = example(2, 3, 2), example(2, 2)
    layer(history, target)
    check_gradient(lambda h: layer(h, target, mask=MASK[1:3, :3]), [history], atol=2e-3)


def test_gradients_are_those_of_the_padded_form():
    # XLA works on all positions, TensorFlow's kernels on the valid ones with gradients of our own.
    history, target = INPUTS.values()
    mask = MASK[[3, 0, 2, 0]]
    layer = TargetAttention((5, 4))
    layer(history, target)

    def gradients(history, target):
        with tf.GradientTape() as tape:
            tape.watch([history, target])
            loss = tf.reduce_sum(layer(history, target, mask=mask) ** 2)
        return tape.gradient(loss, [history, target, *layer.trainable_variables])

    inputs = tf.constant(history), tf.constant(target)
    compact = tf.function(gradients)(*inputs)
    padded = tf.function(gradients, jit_compile=True)(*inputs)
    for found, want in zip(compact, padded, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`hidden_units` must not be empty. Received"):
        TargetAttention(())
    with pytest.raises(ValueError, match="`weight_normalization` must be one of 'softmax', 'raw'"):
        TargetAttention(weight_normalization="sum")
    with pytest.raises(ValueError, match="Received: target width=2, history width=3"):
        TargetAttention()(example(1, 2, 3), example(1, 2))
