import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from finite_differences import check_gradient

from lmn_tf.layers import MultiWayAttention
from lmn_tf.ops.sequence.valid_positions import ValidPositions

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


INPUTS = {
    "history": example(4, 6, 3),
    "target": example(4, 3, seed=1),
    "memory": example(4, 3, seed=2),
}


def test_is_a_good_layer():
    check_layer(MultiWayAttention, {"hidden_units": 5}, INPUTS, MASK, zero_when_empty=True)


def weights_of(layer):
    history, target, memory = INPUTS.values()
    positions = ValidPositions(tf.constant(MASK), history)
    items = positions.take(history)
    return positions.put(layer.prepare(items, target, positions)(tf.constant(memory)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def literal_weights(layer, history, target, memory, mask):
    """The published form: two dense layers on the concatenation, one row at a time."""
    kernel, bias, score_kernel, score_bias = (weight.numpy() for weight in layer.weights)
    weights = np.zeros(mask.shape)
    for row, (events, v, m) in enumerate(zip(history, target, memory, strict=True)):
        sides = (m, v) if layer.cross == "full" else (m,)
        for step in np.flatnonzero(mask[row]):
            e = events[step]
            parts = [e - side if layer.euclidean else e * side for side in sides]
            x = np.concatenate([*parts, *(e * side for side in sides)])
            score = sigmoid(x @ kernel + bias) @ score_kernel + score_bias
            weights[row, step] = np.exp(score[0])
        if layer.weight_normalization == "softmax":
            weights[row] /= max(weights[row].sum(), 1e-30)
        else:
            weights[row] = weights[row] / (1 + weights[row])
            if layer.normalize == "length":
                weights[row] /= max(mask[row].sum(), 1)
    return weights


@pytest.mark.parametrize("cross", ["full", "delayed"])
@pytest.mark.parametrize("euclidean", [True, False])
@pytest.mark.parametrize(
    "weights", [{}, {"weight_normalization": "softmax"}, {"normalize": "length"}]
)
def test_equals_the_literal_form(cross, euclidean, weights):
    layer = MultiWayAttention(5, cross=cross, euclidean=euclidean, **weights)
    output = layer(*INPUTS.values(), mask=MASK)
    for index, weight in enumerate(layer.weights):
        weight.assign(example(*weight.shape, seed=3 + index))
    output = layer(*INPUTS.values(), mask=MASK)
    want = literal_weights(layer, *INPUTS.values(), MASK)
    found = weights_of(layer)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.numpy()[~MASK], 0.0)
    read_out = np.einsum("bl,bld->bd", want, INPUTS["history"])
    np.testing.assert_allclose(output, read_out, rtol=1e-4, atol=1e-5)


def test_softmax_weights_sum_to_one_where_there_is_a_history():
    layer = MultiWayAttention(weight_normalization="softmax")
    layer.build((None, 6, 3), (None, 3), (None, 3))
    weights = weights_of(layer).numpy()
    np.testing.assert_allclose(weights.sum(1), [0, 1, 1, 1], rtol=1e-6)


def test_delayed_cross_does_not_see_the_target():
    layer = MultiWayAttention(cross="delayed")
    history, target, memory = INPUTS.values()
    first = layer(history, target, memory, mask=MASK)
    np.testing.assert_array_equal(layer(history, 7 - target, memory, mask=MASK), first)
    assert np.abs(layer(history, target, 7 - memory, mask=MASK) - first).max() > 1e-4


def test_order_does_not_matter():
    layer = MultiWayAttention()
    history, *sides = INPUTS.values()
    order = np.random.default_rng(1).permutation(6)
    shuffled = layer(history[:, order], *sides, mask=MASK[:, order])
    np.testing.assert_allclose(shuffled, layer(history, *sides, mask=MASK), rtol=1e-4, atol=1e-6)


def test_gradient_agrees_with_finite_differences():
    layer = MultiWayAttention(4)
    inputs = [value[1:3, :3] if value.ndim > 2 else value[1:3] for value in INPUTS.values()]
    layer(*inputs)
    check_gradient(lambda *values: layer(*values, mask=MASK[1:3, :3]), inputs, atol=3e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_units": 0}, "`hidden_units` must be a positive integer.*hidden_units=0"),
        ({"weight_normalization": "raw"}, "`weight_normalization` must be one of 'sigmoid'"),
        (
            {"normalize": "len"},
            "`normalize` must be one of 'none', 'length'.*Did you mean `length`",
        ),
        ({"cross": "none"}, "`cross` must be one of 'full', 'delayed'"),
        (
            {"normalize": "length", "weight_normalization": "softmax"},
            "`normalize` must be 'none' with softmax weights.*normalize='length'",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiWayAttention(**arguments)


def test_bad_widths():
    with pytest.raises(ValueError, match="`target` must be as wide as `history`.*target width=2"):
        MultiWayAttention()(example(1, 2, 3), example(1, 2), example(1, 3))
    with pytest.raises(ValueError, match="`memory` must be as wide as `history`.*memory width=2"):
        MultiWayAttention()(example(1, 2, 3), example(1, 3), example(1, 2))
