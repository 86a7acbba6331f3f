import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf import layers
from lmn_tf.layers.base import (
    TOKENS,
    RunningMean,
    add_replicated_loss,
    check_axes,
    check_choice,
    check_hidden_units,
    check_not_negative,
    check_positive_integer,
    check_positive_number,
    check_rate,
    stacked_glorot,
)


def test_choice_names_the_nearest():
    check_choice("pooling", "mean", ("mean", "sum"))
    with pytest.raises(ValueError, match=r"`pooling` must be one of 'mean', 'sum'\. Received: "):
        check_choice("pooling", 3, ("mean", "sum"))
    with pytest.raises(ValueError, match=r"pooling='meen'\. Did you mean `mean`\?"):
        check_choice("pooling", "meen", ("mean", "sum"))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", None])
def test_positive_integer(value):
    check_positive_integer("units", 1)
    with pytest.raises(ValueError, match="`units` must be a positive integer. Received: units="):
        check_positive_integer("units", value)


def test_numbers():
    check_positive_number("weight", 0.1)
    check_not_negative("weight", 0)
    for value in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match=f"`weight` must be a positive number.*={value}"):
            check_positive_number("weight", value)
    for value in (-1.0, np.nan):
        with pytest.raises(ValueError, match=f"`weight` must be zero or more.*={value}"):
            check_not_negative("weight", value)


def test_hidden_units():
    assert check_hidden_units("hidden_units", [8, 4]) == (8, 4)
    assert check_hidden_units("hidden_units", 8) == (8,)
    assert check_hidden_units("hidden_units", ()) == ()
    with pytest.raises(ValueError, match="`hidden_units` must be a tuple of integers. Received"):
        check_hidden_units("hidden_units", "8")
    with pytest.raises(ValueError, match=r"must hold positive integers only. Received: .*\(8, 0\)"):
        check_hidden_units("hidden_units", (8, 0))


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, "a", True])
def test_rate(value):
    check_rate("dropout", 0)
    with pytest.raises(ValueError, match="`dropout` must be at least 0 and below 1. Received"):
        check_rate("dropout", value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("BehaviorSearch", {"units": 4}),
        ("LargeMemory", {"num_keys": 3, "top_k": 4, "key_norm": False}),
        ("MLP", {"hidden_units": (4,), "batch_norm": True, "activation": "dice"}),
        ("MaskedBatchNormalization", {}),
        ("ProductKeyMemory", {"num_keys": 3, "top_k": 4, "key_norm": False}),
        ("SparseMixtureOfExperts", {"num_experts": 4, "active_experts": 2}),
        ("SparseMixtureOfExperts", {"num_experts": 4, "active_experts": 2, "routing": "softmax"}),
    ],
)
def test_trains_in_double_precision(name, options):
    layer = getattr(layers, name)(**options, dtype="float64")
    inputs = [np.random.default_rng(0).normal(size=(3, 5, 4))]
    if name == "BehaviorSearch":
        inputs.append(inputs[0][:, 0])
    layer(*inputs)
    with tf.GradientTape() as tape:
        output = layer(*inputs, **({} if name == "BehaviorSearch" else {"training": True}))
        loss = tf.reduce_sum(output**2)
    assert output.dtype == "float64"
    gradients = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    assert all(np.isfinite(tf.convert_to_tensor(one)).all() for one in gradients if one is not None)


# layer → its options and its inputs, whose first has an axis too few
HISTORY = {
    "AttentionalGRU": ({"units": 4}, 1),
    "BehaviorRetrieval": ({}, 4),
    "BehaviorSearch": ({}, 2),
    "BilinearAttention": ({}, 2),
    "InterestEvolution": ({}, 2),
    "IterativeMemory": ({}, 2),
    "LargeMemory": ({"num_keys": 4, "top_k": 2}, 1),
    "MultiHeadTargetAttention": ({}, 2),
    "MultiWayAttention": ({}, 3),
    "SelfAttentionBlock": ({}, 1),
    "SelfAttentionSelector": ({}, 1),
    "SelfAttentiveEncoder": ({}, 1),
    "TargetAttention": ({}, 2),
    "UserInterestMemory": ({}, 2),
}
TOKEN_LAYERS = ("PerTokenMLP", "SparseMixtureOfExperts", "TokenMixing")


def test_counts_axes():
    check_axes("history", (None, 3, 4))
    check_axes("inputs", (2, 3, 4), TOKENS)
    with pytest.raises(ValueError, match=re.escape("Received: x.shape=(2, 3, 4, 5)")):
        check_axes("x", (2, 3, 4, 5))


@pytest.mark.parametrize("name", HISTORY)
def test_a_history_without_length_is_refused(name):
    options, inputs = HISTORY[name]
    layer = getattr(layers, name)(**options)
    message = "`history` must have shape (batch, length, d). Received: history.shape=(3, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(*[np.ones((3, 4), "float32")] * inputs)


@pytest.mark.parametrize("name", TOKEN_LAYERS)
def test_tokens_without_a_width_are_refused(name):
    message = "`inputs` must have shape (batch, tokens, D). Received: inputs.shape=(3, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(layers, name)()(np.ones((3, 4), "float32"))


def test_a_position_needs_a_length():
    message = "`inputs` must have shape (batch, length, d). Received: inputs.shape=(3, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        layers.PositionEmbedding(4)(np.ones((3, 4), "float32"))


class Costly(keras.layers.Layer):
    def __init__(self, is_counted=False):
        super().__init__()
        self.is_counted = is_counted

    def build(self, inputs_shape):
        self.price = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        count = tf.reduce_sum(tf.cast(inputs > 0, tf.int32))
        loss = tf.math.divide_no_nan(tf.reduce_sum(inputs), tf.cast(count, tf.float32))
        count = count if self.is_counted else None
        add_replicated_loss(self, loss * self.price.value, count=count)
        return inputs * 0.0


def trained(strategy, rows, **arguments):
    with strategy.scope():
        # Batch normalization lets the replicas meet, after the loss was added.
        model = keras.Sequential([Costly(**arguments), keras.layers.BatchNormalization()])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    data = tf.data.Dataset.from_tensor_slices((rows, rows * 0)).batch(len(rows))
    model.fit(data, shuffle=False, verbose=0)
    return float(model.layers[0].price.numpy())


def test_each_replica_adds_its_loss():
    rows = np.float32([[1], [3]])
    assert trained(tf.distribute.get_strategy(), rows) == pytest.approx(0.8)
    assert trained(replicas(2), np.concatenate([rows, rows])) == pytest.approx(0.8)


@pytest.mark.parametrize("is_counted, price", [(True, 0.6), (False, 0.5)])
def test_replicas_count_in_proportion_to_what_their_losses_are_means_of(is_counted, price):
    # The mean of the three numbers that count is 4, that of the replicas' means 5.
    rows = np.float32([[1], [3], [8], [0]])
    assert trained(tf.distribute.get_strategy(), rows, is_counted=is_counted) == pytest.approx(0.6)
    assert trained(replicas(2), rows, is_counted=is_counted) == pytest.approx(price)


class Watched(keras.layers.Layer):
    """A layer that keeps the mean of its inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean = RunningMean(name="mean")

    def call(self, inputs):
        self.mean.update_state(tf.reduce_mean(tf.cast(inputs, tf.float32)))
        return inputs


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_counts_beyond_what_half_precision_can(policy):
    layer = Watched(dtype=policy)
    run = tf.function(layer)
    for value in range(3000):
        run(tf.fill((2, 2), float(value % 3)))
    assert float(layer.mean.count) == 3000
    assert float(layer.mean.result()) == pytest.approx(1.0, rel=1e-6)


def test_is_a_metric_of_its_layer_and_is_reset():
    layer = Watched()
    layer(np.ones((2, 2), "float32"))
    assert layer.metrics_variables == [layer.mean.total, layer.mean.count]
    layer.mean.reset_state()
    assert float(layer.mean.count) == 0.0
    assert RunningMean.from_config(layer.mean.get_config()).name == "mean"


def test_each_kernel_of_a_stack_starts_like_one_alone():
    keras.utils.set_random_seed(1)
    stack = np.asarray(stacked_glorot(30, 50)((9, 30, 50)))
    alone = np.asarray(keras.initializers.GlorotUniform()((30, 50)))
    np.testing.assert_allclose(stack.std((1, 2)), alone.std(), rtol=0.1)
    assert np.abs(stack[0] - stack[1]).max() > 0.1
