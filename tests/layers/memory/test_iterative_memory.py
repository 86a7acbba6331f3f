import json
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from finite_differences import check_gradient

from lmn_tf.layers import IterativeMemory

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "target": example(4, 3, seed=1)}
VARIANTS = {
    "default": {"hidden_units": 5},
    "2P": {"num_walks": 2, "num_enhancements": 0, "hidden_units": 5},
    "unshared": {"share_iterations": False, "hidden_units": 4},
    "delayed": {"cross": "delayed", "num_enhancements": 0, "hidden_units": 4},
    "products": {"euclidean": False, "weight_normalization": "softmax", "hidden_units": 4},
    "first walk": {"iterative": False, "hidden_units": 4},
    "average": {"attention": False},
}


def test_is_a_good_layer():
    arguments = {"num_walks": 1, "num_enhancements": 1, "hidden_units": 4}
    check_layer(IterativeMemory, arguments, INPUTS, MASK)


def filled(**arguments):
    """A layer whose weights are all random, biases too."""
    layer = IterativeMemory(**arguments)
    layer(*INPUTS.values())
    for index, weight in enumerate(layer.weights):
        weight.assign(0.7 * example(*weight.shape, seed=5 + index))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow_gru(cell, x, state):
    """GRU with the reset gate behind the recurrent product, as in cuDNN."""
    kernel, recurrent, (bias, recurrent_bias) = (weight.numpy() for weight in cell.weights)
    update, reset, candidate = np.split(x @ kernel + bias, 3)
    from_update, from_reset, from_state = np.split(state @ recurrent + recurrent_bias, 3)
    keep = sigmoid(update + from_update)
    new = np.tanh(candidate + sigmoid(reset + from_reset) * from_state)
    return keep * state + (1 - keep) * new


def slow_row(layer, events, target):
    """One row of valid events: equations 2 to 7 as they are written."""
    config = layer.get_config()
    full = config["cross"] == "full"
    if not layer.attention:
        return events.mean(0) if len(events) else 0 * target
    memory = target if full else (events.mean(0) if len(events) else 0 * target)
    for walk in range(layer.num_reads):
        attention = layer.attentions[walk if len(layer.attentions) > 1 else 0]
        w1, b1, w2, b2 = (weight.numpy() for weight in attention.weights)
        scores = []
        for e in events:
            sides = (memory, target) if full else (memory,)
            differences = [e - s if config["euclidean"] else e * s for s in sides]
            alpha = np.concatenate([*differences, *(e * s for s in sides)])
            scores.append((sigmoid(alpha @ w1 + b1) @ w2 + b2)[0])
        weights = sigmoid(np.array(scores))
        if config["weight_normalization"] == "softmax":
            weights = np.exp(scores) / np.exp(scores).sum() if len(events) else weights
        read_out = sum((w * e for w, e in zip(weights, events, strict=True)), 0 * target)
        if not layer.iterative:
            return read_out
        cell = layer.update_cells[walk if len(layer.update_cells) > 1 else 0]
        memory = slow_gru(cell, read_out, memory)
    for _ in range(layer.num_enhancements):
        query = memory @ layer.enhancement_query.weights[0].numpy()
        memory = slow_gru(layer.enhancement_cell, np.concatenate([query, target]), memory)
    return memory


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_the_equations_row_by_row(name):
    layer = filled(**VARIANTS[name])
    again = IterativeMemory.from_config(json.loads(json.dumps(layer.get_config())))
    again.build((None, None, 3), (None, 3))
    again.set_weights(layer.get_weights())
    layer = again
    history, target = INPUTS.values()
    want = [slow_row(layer, e[m], v) for e, m, v in zip(history, MASK, target, strict=True)]
    np.testing.assert_allclose(layer(history, target, mask=MASK), want, rtol=1e-4, atol=1e-5)


def test_one_step_by_hand():
    # d = 1, one walk over the behaviors 1 and 3 for the candidate 2. All scores are ln 3, so the
    # weights are 3/4 and the read-out is 3. The GRU's update gate is 1/2 and its candidate tanh(3).
    layer = IterativeMemory(num_walks=1, num_enhancements=0, hidden_units=1)
    history, target = np.array([[[1.0], [3.0]]], "float32"), np.array([[2.0]], "float32")
    layer(history, target)
    zeros = [np.zeros(weight.shape) for weight in layer.weights]
    layer.set_weights(zeros)
    layer.attentions[0].score_bias.assign([np.log(3.0)])
    kernel, _, _ = layer.update_cells[0].weights
    kernel.assign([[0.0, 0.0, 1.0]])
    want = 0.5 * 2.0 + 0.5 * np.tanh(3.0)
    np.testing.assert_allclose(layer(history, target), [[want]], rtol=1e-6)


def test_no_walk_and_no_enhancement_returns_the_candidate():
    layer = IterativeMemory(num_walks=0, num_enhancements=0)
    history, target = INPUTS.values()
    np.testing.assert_array_equal(layer(history, target, mask=MASK), target)
    assert layer.weights == []


def test_without_walks_the_average_or_the_first_read_out_remains():
    history, target = INPUTS.values()
    average = IterativeMemory(attention=False)(history, target, mask=MASK)
    np.testing.assert_array_equal(average[0], 0.0)
    np.testing.assert_allclose(average[2], history[2, :4].mean(0), rtol=1e-5)
    first = filled(iterative=False)
    np.testing.assert_array_equal(first(history, target, mask=MASK)[0], 0.0)
    assert len(first.weights) == 4


def test_empty_histories_leave_what_the_gru_makes_of_the_candidate():
    layer = filled()
    history, target = INPUTS.values()
    output = layer(history, target, mask=np.zeros_like(MASK)).numpy()
    assert np.isfinite(output).all()
    assert np.abs(output - target).max() > 1e-3


def test_order_does_not_matter():
    layer = filled()
    history, target = INPUTS.values()
    order = np.random.default_rng(1).permutation(6)
    shuffled = layer(history[:, order], target, mask=MASK[:, order])
    np.testing.assert_allclose(shuffled, layer(history, target, mask=MASK), rtol=1e-4, atol=1e-6)


def test_walks_share_their_weights_unless_told_otherwise():
    shared, own = filled(num_walks=3), filled(num_walks=3, share_iterations=False)
    assert len(shared.attentions) == len(shared.update_cells) == 1
    assert len(own.attentions) == len(own.update_cells) == 3
    own.set_weights(
        [weight for _ in range(3) for weight in shared.attentions[0].get_weights()]
        + [weight for _ in range(3) for weight in shared.update_cells[0].get_weights()]
        + shared.enhancement_cell.get_weights()
        + shared.enhancement_query.get_weights()
    )
    outputs = [layer(*INPUTS.values(), mask=MASK) for layer in (shared, own)]
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("zeroed", "iterative", "counts"),
    [
        ((0, 2), False, True),  # as the candidate that behaviors are compared with
        ((1, 3), False, True),  # as the first memory that they are compared with
        ((0, 1, 2, 3), False, False),
        ((0, 1, 2, 3), True, True),  # as the first state of the GRU
    ],
)
def test_the_candidate_counts_on_each_of_its_ways(zeroed, iterative, counts):
    layer = filled(num_walks=1, num_enhancements=0, iterative=iterative)
    parts = np.split(layer.attentions[0].kernel.numpy(), 4)
    layer.attentions[0].kernel.assign(
        np.concatenate([0 * part if i in zeroed else part for i, part in enumerate(parts)])
    )
    history, target = INPUTS.values()
    outputs = [layer(history, v, mask=MASK) for v in (target, target + 1)]
    assert (np.abs(outputs[1] - outputs[0]).max() > 1e-3) == counts


def test_without_early_cross_only_enhancement_sees_the_candidate():
    history, target = INPUTS.values()
    for steps in (0, 1):
        layer = filled(cross="delayed", num_enhancements=steps)
        outputs = [layer(history, v, mask=MASK) for v in (target, target + 1)]
        assert (np.abs(outputs[1] - outputs[0]).max() > 1e-3) == bool(steps)


def test_gradient_agrees_with_finite_differences():
    layer = filled(num_walks=2, num_enhancements=1, hidden_units=4)
    inputs = [value[1:3, :3] if value.ndim > 2 else value[1:3] for value in INPUTS.values()]
    check_gradient(lambda *values: layer(*values, mask=MASK[1:3, :3]), inputs, atol=5e-3)


def test_tells_the_weights_of_each_walk():
    layer, told = filled(num_walks=2), []
    with layer.watched(lambda weights, mask: told.append((weights, mask))):
        layer(*INPUTS.values(), mask=MASK)
    layer(*INPUTS.values(), mask=MASK)
    ((weights, mask),) = told
    assert [tuple(walk.shape) for walk in weights] == [(4, 6), (4, 6)]
    np.testing.assert_array_equal(mask, MASK)
    assert (weights[0].numpy()[~MASK] == 0).all() and (weights[0].numpy()[MASK] > 0).all()
    first = filled(num_walks=2, iterative=False)(*INPUTS.values(), mask=MASK)
    read_out = tf.einsum("bl,bld->bd", weights[0], INPUTS["history"])
    np.testing.assert_allclose(read_out, first, rtol=1e-5, atol=1e-6)


def training_step(length):
    """A training step as XLA sees it: how many tensors, their elements, the widest per position."""
    layer = IterativeMemory(num_walks=1, num_enhancements=1, hidden_units=16)
    layer.build((2, length, 8), (2, 8))

    def step(history, target, mask):
        with tf.GradientTape() as tape:
            tape.watch([history, target])
            loss = tf.reduce_sum(layer(history, target, mask=mask) ** 2)
        weights = [weight.value for weight in layer.trainable_weights]
        return tape.gradient(loss, [history, target, *weights])

    inputs = tf.zeros((2, length, 8)), tf.zeros((2, 8)), tf.ones((2, length), tf.bool)
    program = tf.function(step, jit_compile=True).experimental_get_compiler_ir(*inputs)("hlo")
    shapes = [
        [int(size) for size in sizes.split(",") if size]
        for sizes in re.findall(r" = (?:f32|s32|pred)\[([\d,]*)\]", program)
    ]
    widths = [shape[-1] for shape in shapes if {length, 2 * length} & set(shape[:-1])]
    return len(shapes), sum(math.prod(shape) for shape in shapes), max(widths)


def test_a_training_step_is_linear_in_the_length():
    tensors, elements, widths = zip(*map(training_step, (300, 600, 1200)), strict=True)
    assert tensors[0] == tensors[1] == tensors[2] > 100
    growth = elements[1] - elements[0]
    assert growth > 300 * 2 * (8 + 16)
    assert elements[2] - elements[1] == pytest.approx(2 * growth, rel=1e-3)
    assert max(widths) == 16  # of the hidden layer; a concatenation would be 32 wide


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_walks": -1}, "`num_walks` must be an integer, 0 or more.*num_walks=-1"),
        ({"num_enhancements": 1.5}, "`num_enhancements` must be an integer, 0 or more.*=1.5"),
        ({"attention": False, "cross": "late"}, "`cross` must be one of 'full', 'delayed'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        IterativeMemory(**arguments)


def test_bad_widths():
    with pytest.raises(ValueError, match="Received: target width=2, history width=3"):
        IterativeMemory()(example(1, 2, 3), example(1, 2))


def test_config_keeps_every_option():
    layer = IterativeMemory(activation="tanh", normalize="length", cross="delayed")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
